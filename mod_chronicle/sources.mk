# The one list of the module's sources, read by Makefile.am. Room by room, in
# alphabetical order.

# Everything that does not face httpd; the unit tests are linked with these.
chronicle_core_sources = \
	mod_chronicle/api/api.c \
	mod_chronicle/api/auth.c \
	mod_chronicle/api/auth_mail.c \
	mod_chronicle/api/auth_tokens.c \
	mod_chronicle/api/docs_page.c \
	mod_chronicle/api/folders.c \
	mod_chronicle/api/metrics.c \
	mod_chronicle/api/note_versions.c \
	mod_chronicle/api/notes.c \
	mod_chronicle/api/root.c \
	mod_chronicle/api/upkeep.c \
	mod_chronicle/api/user.c \
	mod_chronicle/auth/identify.c \
	mod_chronicle/auth/jwt.c \
	mod_chronicle/auth/known.c \
	mod_chronicle/auth/password.c \
	mod_chronicle/auth/permit.c \
	mod_chronicle/auth/refresh.c \
	mod_chronicle/auth/session.c \
	mod_chronicle/base/buf.c \
	mod_chronicle/base/charref.c \
	mod_chronicle/base/clock.c \
	mod_chronicle/base/err.c \
	mod_chronicle/base/html.c \
	mod_chronicle/base/json.c \
	mod_chronicle/base/jsonw.c \
	mod_chronicle/base/member.c \
	mod_chronicle/base/page.c \
	mod_chronicle/base/seal.c \
	mod_chronicle/base/text.c \
	mod_chronicle/base/uuid.c \
	mod_chronicle/jobs/runner.c \
	mod_chronicle/store/bus.c \
	mod_chronicle/store/cache.c \
	mod_chronicle/store/counter.c \
	mod_chronicle/store/db.c \
	mod_chronicle/store/db_batch.c \
	mod_chronicle/store/db_conn.c \
	mod_chronicle/store/fresh.c \
	mod_chronicle/store/gate.c \
	mod_chronicle/store/idem.c \
	mod_chronicle/store/limit.c \
	mod_chronicle/store/seat.c \
	mod_chronicle/store/waiter.c \
	mod_chronicle/web/bind.c \
	mod_chronicle/web/cors.c \
	mod_chronicle/web/openapi.c \
	mod_chronicle/web/openapi_answer.c \
	mod_chronicle/web/openapi_schema.c \
	mod_chronicle/web/perform.c \
	mod_chronicle/web/promtext.c \
	mod_chronicle/web/query.c \
	mod_chronicle/web/reply.c \
	mod_chronicle/web/request.c \
	mod_chronicle/web/route.c \
	mod_chronicle/web/secure.c \
	mod_chronicle/web/stages.c \
	mod_chronicle/web/validate.c

# The module record and the room that faces httpd.
chronicle_httpd_sources = \
	mod_chronicle/httpd/background.c \
	mod_chronicle/httpd/config.c \
	mod_chronicle/httpd/dbpool.c \
	mod_chronicle/httpd/directives.c \
	mod_chronicle/httpd/handler.c \
	mod_chronicle/httpd/hooks.c \
	mod_chronicle/httpd/io.c \
	mod_chronicle/httpd/secret.c \
	mod_chronicle/httpd/shared.c \
	mod_chronicle/mod_chronicle.c

chronicle_headers = \
	mod_chronicle/api/account.h \
	mod_chronicle/api/api.h \
	mod_chronicle/api/auth_mail.h \
	mod_chronicle/api/notes.h \
	mod_chronicle/api/root.h \
	mod_chronicle/api/upkeep.h \
	mod_chronicle/auth/auth.h \
	mod_chronicle/auth/jwt.h \
	mod_chronicle/auth/known.h \
	mod_chronicle/auth/password.h \
	mod_chronicle/auth/refresh.h \
	mod_chronicle/base/buf.h \
	mod_chronicle/base/charref.h \
	mod_chronicle/base/charref_names.h \
	mod_chronicle/base/clock.h \
	mod_chronicle/base/codes.h \
	mod_chronicle/base/err.h \
	mod_chronicle/base/html.h \
	mod_chronicle/base/json.h \
	mod_chronicle/base/jsonw.h \
	mod_chronicle/base/member.h \
	mod_chronicle/base/page.h \
	mod_chronicle/base/seal.h \
	mod_chronicle/base/text.h \
	mod_chronicle/base/uuid.h \
	mod_chronicle/chronicle.h \
	mod_chronicle/conf.h \
	mod_chronicle/httpd/config.h \
	mod_chronicle/httpd/server.h \
	mod_chronicle/jobs/job.h \
	mod_chronicle/store/bus.h \
	mod_chronicle/store/cache.h \
	mod_chronicle/store/counter.h \
	mod_chronicle/store/db.h \
	mod_chronicle/store/db_batch.h \
	mod_chronicle/store/db_conn.h \
	mod_chronicle/store/fresh.h \
	mod_chronicle/store/gate.h \
	mod_chronicle/store/idem.h \
	mod_chronicle/store/limit.h \
	mod_chronicle/store/seat.h \
	mod_chronicle/store/waiter.h \
	mod_chronicle/web/bind.h \
	mod_chronicle/web/field.h \
	mod_chronicle/web/openapi.h \
	mod_chronicle/web/openapi_answer.h \
	mod_chronicle/web/openapi_schema.h \
	mod_chronicle/web/promtext.h \
	mod_chronicle/web/query.h \
	mod_chronicle/web/reply.h \
	mod_chronicle/web/request.h \
	mod_chronicle/web/route.h

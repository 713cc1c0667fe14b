# The unit tests: one program each, made from the file of the same name with .c
# added, for example tests/unit/test_base_buf from tests/unit/test_base_buf.c.
chronicle_unit_tests = \
	tests/unit/test_auth_identify \
	tests/unit/test_auth_jwt \
	tests/unit/test_auth_known \
	tests/unit/test_auth_password \
	tests/unit/test_auth_permit \
	tests/unit/test_auth_refresh \
	tests/unit/test_auth_session \
	tests/unit/test_base_buf \
	tests/unit/test_base_charref \
	tests/unit/test_base_clock \
	tests/unit/test_base_err \
	tests/unit/test_base_html \
	tests/unit/test_base_json \
	tests/unit/test_base_jsonw \
	tests/unit/test_base_member \
	tests/unit/test_base_page \
	tests/unit/test_base_seal \
	tests/unit/test_base_text \
	tests/unit/test_base_uuid \
	tests/unit/test_store_counter \
	tests/unit/test_store_db \
	tests/unit/test_store_db_batch \
	tests/unit/test_store_db_conn \
	tests/unit/test_store_db_retry \
	tests/unit/test_store_gate \
	tests/unit/test_store_idem \
	tests/unit/test_store_limit \
	tests/unit/test_store_seat \
	tests/unit/test_web_bind \
	tests/unit/test_web_cors \
	tests/unit/test_web_headers \
	tests/unit/test_web_openapi \
	tests/unit/test_web_perform \
	tests/unit/test_web_promtext \
	tests/unit/test_web_query \
	tests/unit/test_web_reply \
	tests/unit/test_web_reply_list \
	tests/unit/test_web_request \
	tests/unit/test_web_route \
	tests/unit/test_web_secure \
	tests/unit/test_web_stages \
	tests/unit/test_web_validate

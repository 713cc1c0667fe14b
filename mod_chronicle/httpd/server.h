/* Inside httpd/: the request's way in and out, the pool, shared memory. */
#ifndef CH_HTTPD_SERVER_H
#define CH_HTTPD_SERVER_H

#include "httpd/config.h"
#include "store/db.h"
#include "web/request.h"

/* The router of this generation of the server, made in post_config. */
extern const ch_router_t *ch_server_router;

/* The main server of this generation, set in post_config. */
extern server_rec *ch_server_main;

/* --- dbpool.c ---------------------------------------------------------- */

/* Looks up mod_dbd's functions; 0 when it is not loaded. */
int ch_dbpool_find(void);

/* Gives every enabled server its door to the database. In each child. */
void ch_dbpool_open(apr_pool_t *pool, server_rec *main_server);

/* --- redispool.c -------------------------------------------------------- */

/* Gives each Redis that is configured its place in the shared memory; what is
 * wrong, or NULL. In the parent. */
const char *ch_redispool_claim(server_rec *main_server);

/* Gives every enabled server its door to Redis. In each child. */
void ch_redispool_open(apr_pool_t *pool, server_rec *main_server);

/* --- shared.c ---------------------------------------------------------- */

/* Makes the shared memory once in the life of the server and opens it. */
apr_status_t ch_shared_open(server_rec *main_server);

/* --- storage.c ---------------------------------------------------------- */

/* Whether the directories that were named can be. OK, or an error that is in
 * the log. */
int ch_storage_check(apr_pool_t *pool, server_rec *main_server);

/* Makes them, and opens the store of every enabled server; as root, before
 * the first child. */
int ch_storage_open(apr_pool_t *pool, server_rec *main_server);

/* --- background.c ------------------------------------------------------ */

/* Memory shared by all processes, zeroed when new. */
void ch_background_open(void *memory);
size_t ch_background_size(void);

/* Finds out what there is to do, numbers the sites, and asks mod_watchdog to
 * look; in post_config. APR_ENOTIMPL without it. */
apr_status_t ch_background_plan(apr_pool_t *pool, server_rec *main_server);

/* In child_init, before mod_watchdog's: what is begun ends with pchild. */
void ch_background_begin(apr_pool_t *pchild);

/* --- io.c ---------------------------------------------------------------*/

extern const ch_io_t ch_server_io;

/* One line to a server's error log; level 'e', 'w', 'n', 'i'. */
void ch_server_log(server_rec *server, char level, int number,
                   const char *text);

/* Sends rq->reply. */
int ch_server_send(request_rec *r, ch_req_t *rq);

/* --- logs.c ------------------------------------------------------------ */

/* Keeps a row of a request whose answer is made. */
void ch_logs_request(const ch_req_t *rq);

/* Writes the rows of a server's database that wait. */
void ch_logs_write(server_rec *server, apr_pool_t *pool);

/* In each child after ch_dbpool_open: when pchild goes, what waits is written
 * once more. */
void ch_logs_begin(apr_pool_t *pchild, server_rec *main_server);

/* --- handler.c --------------------------------------------------------- */

int ch_server_handle(request_rec *r);

/* A request as it came in, with a door to the database, and matched to no
 * route. */
ch_req_t *ch_server_request(request_rec *r);

/* --- live.c ------------------------------------------------------------ */

/* Begins realtime in a child; it ends with pchild. */
void ch_live_begin(apr_pool_t *pchild, server_rec *main_server);

void ch_live_register(void);

/* --- upgrade.c --------------------------------------------------------- */

/* Whether a request is for Socket.IO, and that is served here. */
int ch_upgrade_claims(const request_rec *r);

int ch_upgrade_handle(request_rec *r);

/* In post_config, once the settings are known. */
void ch_upgrade_plan(server_rec *main_server);

/* How many sockets a child may hold, by its limit of descriptors. */
int ch_upgrade_sockets_max(void);

void ch_upgrade_register(void);

/* --- authn.c ----------------------------------------------------------- */

/* AuthType Chronicle and AuthBasicProvider chronicle. */
void ch_authn_register(apr_pool_t *pool);

/* Complains of AuthType Chronicle where no server has Chronicle On. */
int ch_authn_check(server_rec *main_server);

/* ch_io_t's remote_user. */
const char *ch_authn_remote_user(ch_req_t *rq);

/* The account behind r->user, NULL when there is none. Users of other modules
 * are mapped where ChronicleTrustRemoteUser is On. An error when it could not
 * be found out. */
ch_err_t *ch_authn_account(request_rec *r, const ch_principal_t **out);

/* --- authz.c ----------------------------------------------------------- */

/* Require chronicle-role, Require chronicle-verified. */
void ch_authz_register(apr_pool_t *pool);

/* --- status.c, dump.c -------------------------------------------------- */

/* A section in mod_status' page. */
void ch_status_register(void);

/* Hook: httpd -t -D DUMP_CHRONICLE writes what the settings are and where
 * they come from. No secret is written. */
void ch_dump_config(apr_pool_t *pool, server_rec *main_server);

/* --- hooks.c ----------------------------------------------------------- */

void ch_server_register_hooks(apr_pool_t *pool);

#endif

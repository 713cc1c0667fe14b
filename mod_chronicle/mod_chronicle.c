/* mod_chronicle: the module record and nothing else. */
#define CH_MODULE_RECORD
#include "httpd/server.h"

AP_DECLARE_MODULE(chronicle) = {
    STANDARD20_MODULE_STUFF,
    .create_server_config = ch_config_create,
    .merge_server_config = ch_config_merge,
    .cmds = ch_directives,
    .register_hooks = ch_server_register_hooks,
};

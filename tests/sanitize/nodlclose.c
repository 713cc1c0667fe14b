/* Makes dlclose() do nothing, for servers that run under a sanitizer.
 *
 * httpd unloads its modules before the process ends. The leak report comes
 * after that and could not name a single function of an unloaded module.
 * Preloaded, this keeps them mapped.
 */
int dlclose(void *handle);

int dlclose(void *handle)
{
    (void)handle;
    return 0;
}

#include "shim.h"

#include <string.h>

#include "ap_provider.h"
#include "apr_optional.h"
#include "apr_poll.h"
#include "apr_portable.h"
#include "apr_strings.h"
#include "http_log.h"
#include "http_protocol.h"
#include "http_request.h"
#include "mpm_common.h"
#include "util_filter.h"

#if AP_MODULE_MAGIC_AT_LEAST(20120211, 109)
#include "http_ssl.h"
#else
APR_DECLARE_OPTIONAL_FN(int, ssl_is_https, (conn_rec *));
#endif
APR_DECLARE_OPTIONAL_FN(char *, ssl_var_lookup, (apr_pool_t *, server_rec *, conn_rec *, request_rec *, char *));

void wsgi_shim_brigade_insert_tail(apr_bucket_brigade *bb, apr_bucket *b)
{
    APR_BRIGADE_INSERT_TAIL(bb, b);
}

apr_bucket *wsgi_shim_brigade_first(apr_bucket_brigade *bb)
{
    return APR_BRIGADE_EMPTY(bb) ? NULL : APR_BRIGADE_FIRST(bb);
}

apr_status_t wsgi_shim_bucket_read(apr_bucket *b, const char **data, apr_size_t *len, int nonblocking)
{
    return apr_bucket_read(b, data, len, nonblocking ? APR_NONBLOCK_READ : APR_BLOCK_READ);
}

apr_status_t wsgi_shim_bucket_split(apr_bucket *b, apr_size_t point)
{
    return apr_bucket_split(b, point);
}

void wsgi_shim_bucket_delete(apr_bucket *b)
{
    apr_bucket_delete(b);
}

int wsgi_shim_bucket_is_eos(apr_bucket *b)
{
    return APR_BUCKET_IS_EOS(b);
}

int wsgi_shim_bucket_is_metadata(apr_bucket *b)
{
    return APR_BUCKET_IS_METADATA(b);
}

int wsgi_shim_server_logs(const server_rec *s, int index, int level)
{
    return APLOG_MODULE_IS_LEVEL(s, index, level);
}

int wsgi_shim_request_logs(const request_rec *r, int index, int level)
{
    return APLOG_R_MODULE_IS_LEVEL(r, index, level);
}

/* The vector is an array of pointers, one for each module; the macros of http_config.h want the module's symbol. */
void *wsgi_shim_get_config(const ap_conf_vector_t *vector, int index)
{
    return ((void **)vector)[index];
}

int wsgi_shim_expects_continue(const request_rec *r)
{
    return r->expecting_100;
}

void wsgi_shim_send_continue(request_rec *r)
{
    int status = r->status;
    const char *line = r->status_line;
    r->status = HTTP_CONTINUE;
    r->status_line = NULL;
    ap_send_interim_response(r, 0);
    r->status = status;
    r->status_line = line;
}

int wsgi_shim_stream_descriptor(conn_rec *c)
{
    typedef apr_status_t get_pollfd(conn_rec *, apr_pollfd_t *, apr_interval_time_t *);
    apr_pollfd_t found = {0};
    apr_os_file_t file = -1;
    apr_os_sock_t socket = -1;
    /* Not by name, so that the module loads where httpd has no such function (before 2.4.58). */
    get_pollfd *get = (get_pollfd *) apr_dynamic_fn_retrieve("http2_get_pollfd_from_conn");

    if (get == NULL || get(c, &found, NULL) != APR_SUCCESS)
        return -1;
    if (found.desc_type == APR_POLL_FILE && apr_os_file_get(&file, found.desc.f) == APR_SUCCESS)
        return file;
    if (found.desc_type == APR_POLL_SOCKET && apr_os_sock_get(&socket, found.desc.s) == APR_SUCCESS)
        return socket;
    return -1;
}

int wsgi_shim_is_aborted(const conn_rec *c)
{
    return c->aborted;
}

void wsgi_shim_mark_aborted(conn_rec *c)
{
    c->aborted = 1;
}

void wsgi_shim_close_after_answer(conn_rec *c)
{
    c->keepalive = AP_CONN_CLOSE;
}

int wsgi_shim_is_https(conn_rec *c)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 109)
    return ap_ssl_conn_is_ssl(c);
#else
    APR_OPTIONAL_FN_TYPE(ssl_is_https) *is_https = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    return is_https != NULL && is_https(c->master ? c->master : c);
#endif
}

const char *wsgi_shim_tls_variable(request_rec *r, const char *name)
{
    APR_OPTIONAL_FN_TYPE(ssl_var_lookup) *lookup = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
    return lookup ? lookup(r->pool, r->server, r->connection, r, apr_pstrdup(r->pool, name)) : NULL;
}

int wsgi_shim_has_content_filters(const request_rec *r)
{
    const ap_filter_t *f;
    for (f = r->output_filters; f != NULL; f = f->next) {
        if (f->frec->ftype < AP_FTYPE_PROTOCOL)
            return 1;
    }
    return 0;
}

int wsgi_shim_sendfile_enabled(const request_rec *r)
{
#if APR_HAS_SENDFILE
    const core_dir_config *d = ap_get_core_module_config(r->per_dir_config);
    return AP_SENDFILE_ENABLED(d->enable_sendfile);
#else
    return 0;
#endif
}

int wsgi_shim_has_configured_handler(const request_rec *r)
{
    const core_dir_config *d = ap_get_core_module_config(r->per_dir_config);
    return d->expr_handler != NULL;
}

int wsgi_shim_mmap_enabled(const request_rec *r)
{
#if APR_HAS_MMAP
    const core_dir_config *d = ap_get_core_module_config(r->per_dir_config);
    return d->enable_mmap != ENABLE_MMAP_OFF;
#else
    return 0;
#endif
}

const char *wsgi_shim_runtime_dir(void)
{
    return DEFAULT_REL_RUNTIMEDIR;
}

const char *wsgi_shim_coredump_dir(void)
{
    return ap_coredumpdir_configured ? ap_coredump_dir : NULL;
}

apr_bucket *wsgi_shim_abort_bucket(request_rec *r, apr_bucket_alloc_t *list)
{
    r->no_cache = 1;
    if (r->main != NULL)
        r->main->no_cache = 1;
    return ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->connection->pool, list);
}

void wsgi_shim_register_authz(apr_pool_t *p, const char *name, const authz_provider *provider)
{
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, name, AUTHZ_PROVIDER_VERSION, provider,
                              AP_AUTH_INTERNAL_PER_URI);
}

void wsgi_shim_register_authn(apr_pool_t *p, const char *name, const authn_provider *provider)
{
    ap_register_auth_provider(p, AUTHN_PROVIDER_GROUP, name, AUTHN_PROVIDER_VERSION, provider,
                              AP_AUTH_INTERNAL_PER_URI);
}

int wsgi_shim_cgi_pass_auth(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return core->cgi_pass_auth == AP_CGI_PASS_AUTH_ON;
}

int wsgi_shim_has_login_cache(void)
{
    return APR_RETRIEVE_OPTIONAL_FN(ap_authn_cache_store) != NULL;
}

void wsgi_shim_cache_login(request_rec *r, const char *provider, const char *user, const char *realm, const char *data)
{
    APR_OPTIONAL_FN_TYPE(ap_authn_cache_store) *store = APR_RETRIEVE_OPTIONAL_FN(ap_authn_cache_store);
    if (store) {
        store(r, provider, user, realm, data);
    }
}

int wsgi_shim_qualify_redirect(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return core->qualify_redirect_url == AP_CORE_CONFIG_ON;
}

int wsgi_shim_current_uri(const request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *rule;
    if (!core->cgi_var_rules) {
        return 0;
    }
    rule = apr_hash_get(core->cgi_var_rules, "REQUEST_URI", APR_HASH_KEY_STRING);
    return rule && !strcmp(rule, "current-uri");
}

const char *wsgi_shim_auth_type(const request_rec *r)
{
    return r->ap_auth_type;
}

const char *wsgi_shim_document_root(const server_rec *s)
{
    const core_server_config *core = ap_get_core_module_config(s->module_config);
    return core->ap_document_root;
}

void wsgi_shim_copy_global_score(global_score *to)
{
    *to = *ap_get_scoreboard_global();
}

int wsgi_shim_copy_process_score(process_score *to, int child)
{
    const process_score *score = ap_get_scoreboard_process(child);
    if (!score) {
        return 0;
    }
    memcpy(to, score, sizeof *to);
    return 1;
}

int wsgi_shim_copy_worker_score(worker_score *to, int child, int thread)
{
    const worker_score *score = ap_get_scoreboard_worker_from_indexes(child, thread);
    if (!score) {
        return 0;
    }
    memcpy(to, score, sizeof *to);
    return 1;
}

const char *wsgi_shim_client_of_score(const worker_score *score, size_t *size)
{
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 83)
    *size = sizeof score->client64;
    return score->client64;
#else
    *size = sizeof score->client;
    return score->client;
#endif
}

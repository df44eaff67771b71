/*
 * What httpd and APR offer only as macros, inline functions or bit-fields, as functions.
 *
 * Compiled from the host's own headers, so that a layout or a macro is never retyped in Rust. Nothing here decides
 * anything. All functions take live pointers.
 */
#ifndef WSGI_SHIM_H
#define WSGI_SHIM_H

#include "httpd.h"
#include "http_config.h"
#include "http_core.h"
#include "mod_auth.h"
#include "scoreboard.h"
#include "apr_buckets.h"

/* Brigades and buckets. */
void wsgi_shim_brigade_insert_tail(apr_bucket_brigade *bb, apr_bucket *b);
/* First bucket, or NULL if the brigade is empty. */
apr_bucket *wsgi_shim_brigade_first(apr_bucket_brigade *bb);
apr_status_t wsgi_shim_bucket_read(apr_bucket *b, const char **data, apr_size_t *len, int nonblocking);
apr_status_t wsgi_shim_bucket_split(apr_bucket *b, apr_size_t point);
void wsgi_shim_bucket_delete(apr_bucket *b);
int wsgi_shim_bucket_is_eos(apr_bucket *b);
int wsgi_shim_bucket_is_metadata(apr_bucket *b);

/* Log: whether a record of `level` of the module `index` would be written. */
int wsgi_shim_server_logs(const server_rec *s, int index, int level);
int wsgi_shim_request_logs(const request_rec *r, int index, int level);

/* Module configuration vector (`ap_get_module_config` is a macro that wants the module's symbol). */
void *wsgi_shim_get_config(const ap_conf_vector_t *vector, int index);

/* Whether the client waits for "100 Continue" (a bit-field in some versions). */
int wsgi_shim_expects_continue(const request_rec *r);

/* Connection. */
/* Sends `100 Continue` if the client waits for it; the status of the answer to come stays as it is. */
void wsgi_shim_send_continue(request_rec *r);
int wsgi_shim_stream_descriptor(conn_rec *c);
int wsgi_shim_is_aborted(const conn_rec *c);
void wsgi_shim_mark_aborted(conn_rec *c);
void wsgi_shim_close_after_answer(conn_rec *c);
/* Whether the client speaks TLS, according to whichever TLS module is there. */
int wsgi_shim_is_https(conn_rec *c);
/* Value of a variable of mod_ssl, in the request's pool; NULL without mod_ssl. */
const char *wsgi_shim_tls_variable(request_rec *r, const char *name);

/* Filters: output filters of `r` of a class below the protocol filters. */
int wsgi_shim_has_content_filters(const request_rec *r);

/* Core settings of the request's directory. */
int wsgi_shim_sendfile_enabled(const request_rec *r);
int wsgi_shim_has_configured_handler(const request_rec *r);
int wsgi_shim_mmap_enabled(const request_rec *r);

/* CGI settings of the request's directory, and the authentication scheme. */
int wsgi_shim_cgi_pass_auth(const request_rec *r);
int wsgi_shim_qualify_redirect(const request_rec *r);
int wsgi_shim_current_uri(const request_rec *r);
const char *wsgi_shim_auth_type(const request_rec *r);

/* Build facts. */
const char *wsgi_shim_runtime_dir(void);

/* DocumentRoot of a server, or NULL. */
const char *wsgi_shim_document_root(const server_rec *s);

/* CoreDumpDirectory, or NULL if it was not set. */
const char *wsgi_shim_coredump_dir(void);

/* Records of buckets that abort an answer (an error bucket with 502, which the protocol filters take as "cut short"). */
apr_bucket *wsgi_shim_abort_bucket(request_rec *r, apr_bucket_alloc_t *list);

/* Registers a provider of the Require line `name` / of AuthBasicProvider `name`. */
void wsgi_shim_register_authz(apr_pool_t *p, const char *name, const authz_provider *provider);
void wsgi_shim_register_authn(apr_pool_t *p, const char *name, const authn_provider *provider);

/* mod_authn_socache: whether it is loaded, and the storing of what `provider` has found out. `realm` is NULL for Basic. */
int wsgi_shim_has_login_cache(void);
void wsgi_shim_cache_login(request_rec *r, const char *provider, const char *user, const char *realm, const char *data);

/* Rows of the scoreboard, copied as far as these headers know them: a later httpd appends fields. 0 if there is no such row. */
void wsgi_shim_copy_global_score(global_score *to);
int wsgi_shim_copy_process_score(process_score *to, int child);
int wsgi_shim_copy_worker_score(worker_score *to, int child, int thread);

/* The field with the client's address or name, which may lack its NUL. */
const char *wsgi_shim_client_of_score(const worker_score *score, size_t *size);

#endif

/*
 * BoringSSL behind io/tls.h, joined to it by a BIO that reads from a borrowed slice and writes to
 * the thread's output buffer: no copy on the way in, none of BoringSSL's own buffers on the way
 * out.
 *
 * Not accepted: TLS below 1.2, cipher suites without forward secrecy or authentication of data, a
 * client whose ALPN names none of ours (RFC 7301 3.2: it means to speak another protocol), keys
 * behind a passphrase (nobody is there to type it).
 */
#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdio.h>

#include "io/tls_impl.h"
#include "sluice/base/mem.h"

/* A write of two records, or the longest flight of a handshake (a chain of certificates). */
#define OUTPUT_MAX 65536

static _Thread_local char output[OUTPUT_MAX];
static _Thread_local size_t output_len;

static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *out, int len) {
    struct sl_tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (session->input.len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    struct sl_slice part = sl_slice_head(session->input, (size_t)len);
    memcpy(out, part.ptr, part.len);
    session->input = sl_slice_skip(session->input, part.len);
    return (int)part.len;
}

static int bio_write(BIO *bio, const char *in, int len) {
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if ((size_t)len > OUTPUT_MAX - output_len)
        return -1; /* fatal to the session: larger than any flight we mean to send */
    memcpy(output + output_len, in, (size_t)len);
    output_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int command, long number, void *ptr) {
    (void)bio, (void)number, (void)ptr;
    return command == BIO_CTRL_FLUSH;
}

/* Made once and kept: BoringSSL's methods have no owner. */
static const BIO_METHOD *session_bio(void) {
    static BIO_METHOD *method;
    if (method)
        return method;
    BIO_METHOD *made = BIO_meth_new(0, "sluice");
    if (!made)
        return NULL;
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_ctrl);
    return method = made;
}

/* ---- settings ---- */

static int select_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *offered,
                       unsigned offered_len, void *arg) {
    static const char *const ours[] = {"h2", "http/1.1"}; /* in order of preference */
    (void)ssl, (void)arg;
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
        struct sl_slice want = sl_slice_str(ours[i]);
        for (unsigned at = 0; at < offered_len; at += 1u + offered[at]) {
            if (offered[at] != want.len || at + 1u + want.len > offered_len)
                continue;
            if (memcmp(offered + at + 1, want.ptr, want.len) == 0) {
                *out = offered + at + 1;
                *out_len = offered[at];
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int no_passphrase(char *out, int size, int writing, void *arg) {
    (void)out, (void)size, (void)writing, (void)arg;
    return 0;
}

const char *sl_tls_reason(void) {
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "unknown reason";
}

static int use_certificate(SSL_CTX *ctx, const struct sl_tls_settings *settings, char *why,
                           size_t why_size) {
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    if (!SSL_CTX_use_certificate_chain_file(ctx, settings->certificate)) {
        snprintf(why, why_size, "cannot use certificate file %s: %s", settings->certificate,
                 sl_tls_reason());
        return SL_E_INVALID;
    }
    if (!SSL_CTX_use_PrivateKey_file(ctx, settings->key, SSL_FILETYPE_PEM)) {
        snprintf(why, why_size, "cannot use key file %s: %s", settings->key, sl_tls_reason());
        return SL_E_INVALID;
    }
    if (!SSL_CTX_check_private_key(ctx)) {
        snprintf(why, why_size, "key file %s does not belong to certificate file %s", settings->key,
                 settings->certificate);
        return SL_E_INVALID;
    }
    return SL_OK;
}

static int ask_clients(SSL_CTX *ctx, const char *client_ca, char *why, size_t why_size) {
    static const uint8_t context[] = "sluice";
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(client_ca);
    if (!names || !SSL_CTX_load_verify_locations(ctx, client_ca, NULL)) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        snprintf(why, why_size, "cannot use client CA file %s: %s", client_ca, sl_tls_reason());
        return SL_E_INVALID;
    }
    SSL_CTX_set_client_CA_list(ctx, names); /* takes names */
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* Sessions of verified clients resume only where clients are verified. */
    if (!SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1)) {
        snprintf(why, why_size, "out of memory");
        return SL_E_NOMEM;
    }
    return SL_OK;
}

SSL_CTX *sl_tls_context_new(const SSL_METHOD *method) {
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        return NULL;
    if (!SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) || !session_bio()) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

struct sl_tls *sl_tls_new(const struct sl_tls_settings *settings, char *why, size_t why_size) {
    ERR_clear_error();
    struct sl_tls *tls = sl_calloc(1, sizeof(*tls));
    SSL_CTX *ctx = sl_tls_context_new(TLS_server_method());
    if (!tls || !ctx || !SSL_CTX_set_strict_cipher_list(ctx, ciphers)) {
        snprintf(why, why_size, "out of memory");
        goto fail;
    }
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_session_cache_mode(ctx,
                                   SSL_SESS_CACHE_OFF); /* tickets keep the state at the client */
    if (use_certificate(ctx, settings, why, why_size) < 0)
        goto fail;
    if (settings->client_ca && ask_clients(ctx, settings->client_ca, why, why_size) < 0)
        goto fail;
    tls->ctx = ctx;
    tls->refs = 1;
    return tls;
fail:
    SSL_CTX_free(ctx);
    sl_free(tls);
    return NULL;
}

struct sl_tls *sl_tls_ref(struct sl_tls *tls) {
    if (tls)
        tls->refs++;
    return tls;
}

void sl_tls_free(struct sl_tls *tls) {
    if (!tls)
        return;
    assert(tls->refs > 0);
    if (--tls->refs > 0)
        return;
    SSL_CTX_free(tls->ctx);
    sl_free(tls);
}

/* ---- sessions ---- */

struct sl_tls_session *sl_tls_session_make(struct sl_tls *tls) {
    struct sl_tls_session *session = sl_calloc(1, sizeof(*session));
    if (!session)
        return NULL;
    session->ssl = SSL_new(tls->ctx);
    BIO *bio = BIO_new(session_bio());
    if (!session->ssl || !bio) {
        BIO_free(bio);
        sl_tls_session_free(session);
        return NULL;
    }
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);            /* takes bio */
    SSL_set_shed_handshake_config(session->ssl, 1); /* memory of no use once it is open */
    return session;
}

struct sl_tls_session *sl_tls_session_new(struct sl_tls *tls) {
    struct sl_tls_session *session = sl_tls_session_make(tls);
    if (session)
        SSL_set_accept_state(session->ssl);
    return session;
}

void sl_tls_session_free(struct sl_tls_session *session) {
    if (!session)
        return;
    SSL_free(session->ssl);
    sl_free(session->subject);
    sl_free(session);
}

void sl_tls_feed(struct sl_tls_session *session, struct sl_slice cipher) {
    session->input = cipher;
}

int sl_tls_handshake(struct sl_tls_session *session) {
    ERR_clear_error();
    int rc = SSL_do_handshake(session->ssl);
    if (rc == 1)
        return SL_OK;
    return SSL_get_error(session->ssl, rc) == SSL_ERROR_WANT_READ ? SL_E_AGAIN : SL_E_PROTOCOL;
}

int64_t sl_tls_read(struct sl_tls_session *session, char *out, size_t size) {
    size_t got = 0;
    while (got < size) {
        ERR_clear_error();
        size_t room = size - got < SL_TLS_RECORD ? size - got : SL_TLS_RECORD;
        int rc = SSL_read(session->ssl, out + got, (int)room);
        if (rc > 0) {
            got += (size_t)rc;
            continue;
        }
        int error = SSL_get_error(session->ssl, rc);
        if (got > 0 || error == SSL_ERROR_WANT_READ)
            break; /* after bytes, an end or a failure is met again by the next call */
        return error == SSL_ERROR_ZERO_RETURN ? SL_E_EOF : SL_E_PROTOCOL;
    }
    return (int64_t)got;
}

int sl_tls_write(struct sl_tls_session *session, struct sl_slice plain) {
    assert(plain.len > 0 && plain.len <= SL_TLS_RECORD);
    ERR_clear_error();
    int rc = SSL_write(session->ssl, plain.ptr, (int)plain.len);
    return rc == (int)plain.len ? SL_OK : SL_E_PROTOCOL;
}

void sl_tls_close_notify(struct sl_tls_session *session) {
    ERR_clear_error();
    SSL_shutdown(session->ssl);
}

struct sl_slice sl_tls_alpn(const struct sl_tls_session *session) {
    const uint8_t *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(session->ssl, &name, &len);
    return len ? sl_slice_of(name, len) : SL_EMPTY;
}

const char *sl_tls_version(const struct sl_tls_session *session) {
    return SSL_get_version(session->ssl);
}

/* Names that do not fit are no names of ours: taken for none. */
#define SUBJECT_MAX 256

static int print_subject(X509 *certificate, char out[SUBJECT_MAX]) {
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *text;
    size_t len = 0;
    if (!bio)
        return SL_E_NOMEM;
    int err = X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0 ||
                      !BIO_mem_contents(bio, &text, &len) || len == 0 || len >= SUBJECT_MAX ||
                      memchr(text, '\0', len)
                  ? SL_E_LIMIT
                  : SL_OK;
    if (!err) {
        memcpy(out, text, len);
        out[len] = '\0';
    }
    BIO_free(bio);
    return err;
}

const char *sl_tls_peer_subject(struct sl_tls_session *session) {
    X509 *certificate = SSL_get_peer_certificate(session->ssl);
    if (!certificate)
        return NULL;
    if (!session->subject)
        session->subject = sl_alloc(SUBJECT_MAX);
    if (session->subject && print_subject(certificate, session->subject) != SL_OK) {
        sl_free(session->subject);
        session->subject = NULL;
    }
    X509_free(certificate);
    return session->subject;
}

struct sl_slice sl_tls_output(void) {
    return sl_slice_of(output, output_len);
}

void sl_tls_sent(void) {
    output_len = 0;
}

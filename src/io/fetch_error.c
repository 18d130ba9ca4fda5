/* What went wrong, how far it came, and a sentence for people. */
#include "io/fetch_impl.h"

#define BY_PROGRESS SL_FETCH_DONE

/* ---- connections that were not made */

struct meaning {
    CURLcode code;
    int error;
    enum sl_fetch_phase phase; /* BY_PROGRESS: as far as the dial came */
    const char *why;           /* NULL: curl's own words */
};

static const struct meaning meanings[] = {
    {CURLE_COULDNT_RESOLVE_HOST, SL_E_IO, SL_FETCH_RESOLVE, NULL},
    {CURLE_COULDNT_RESOLVE_PROXY, SL_E_IO, SL_FETCH_RESOLVE, NULL},
    {CURLE_COULDNT_CONNECT, SL_E_IO, SL_FETCH_CONNECT, NULL},
    {CURLE_INTERFACE_FAILED, SL_E_IO, SL_FETCH_CONNECT, NULL},
    {CURLE_PROXY, SL_E_IO, SL_FETCH_CONNECT, NULL},
    {CURLE_OPERATION_TIMEDOUT, SL_E_TIMEOUT, BY_PROGRESS, NULL},
    /* TLS with a proxy */
    {CURLE_SSL_CONNECT_ERROR, SL_E_IO, SL_FETCH_TLS, NULL},
    {CURLE_SSL_CIPHER, SL_E_IO, SL_FETCH_TLS, NULL},
    {CURLE_PEER_FAILED_VERIFICATION, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SSL_ISSUER_ERROR, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SSL_INVALIDCERTSTATUS, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_SSL_CACERT_BADFILE, SL_E_DENIED, SL_FETCH_TLS, NULL},
    {CURLE_OUT_OF_MEMORY, SL_E_NOMEM, BY_PROGRESS, "out of memory"},
};

static const struct meaning *meaning_of(CURLcode code) {
    static const struct meaning other = {CURLE_OK, SL_E_IO, BY_PROGRESS, NULL};
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].code == code)
            return &meanings[i];
    return &other;
}

struct sl_fetch_result sl_fetch_explain_dial(const struct sl_dial_result *dialed) {
    const struct meaning *m = meaning_of(dialed->code);
    return (struct sl_fetch_result){m->error, m->phase == BY_PROGRESS ? dialed->phase : m->phase,
                                    m->why ? m->why : dialed->why};
}

/* ---- connections that broke */

enum sl_fetch_phase sl_fetch_progress(const struct sl_fetch *f) {
    if (f->state == SL_FETCH_DIALING)
        return f->conn->state == SL_LINK_DIALING ? sl_dial_phase(f->conn->dial) : SL_FETCH_TLS;
    if (f->phase != SL_FETCH_SEND)
        return f->phase;
    bool sent = f->head.len == 0 && f->body_left == 0 && sl_link_drained(f->conn);
    return sent ? SL_FETCH_HEAD : SL_FETCH_SEND;
}

/* Before a byte of the answer. On a connection that idled, the server may have closed it as the
 * request was on its way: no sign that it was read. */
static struct sl_fetch_result explain_silence(const struct sl_fetch *f, int error) {
    if (f->conn->reused)
        return (struct sl_fetch_result){
            SL_E_IO, SL_FETCH_SEND, "the kept-alive connection was closed as the request was sent"};
    return (struct sl_fetch_result){SL_E_IO, sl_fetch_progress(f),
                                    error == SL_E_EOF
                                        ? "the server closed the connection without an answer"
                                        : sl_link_why(f->conn)};
}

struct sl_fetch_result sl_fetch_explain_loss(struct sl_fetch *f, int error) {
    if (error == SL_E_NOMEM)
        return (struct sl_fetch_result){error, sl_fetch_progress(f), "out of memory"};
    if (!f->reply.fed)
        return explain_silence(f, error);
    int rc = sl_reply_eof(&f->reply);
    struct sl_fetch_result result = {rc, sl_fetch_progress(f), f->reply.why};
    if (error != SL_E_EOF) {
        /* A reset in the body cuts it short as a close does. */
        result.error = f->phase == SL_FETCH_BODY ? SL_E_EOF : SL_E_IO;
        result.why = sl_link_why(f->conn);
    }
    return result;
}

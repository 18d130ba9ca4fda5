/*
 * Errors are negative ints, so that a function can return a count or an error.
 * They say what kind of thing went wrong; the sentence for people is made where
 * the context is known.
 */
#ifndef SLUICE_BASE_ERROR_H
#define SLUICE_BASE_ERROR_H

#define SL_NODISCARD         __attribute__((warn_unused_result))
#define SL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum sl_error {
    SL_OK = 0,
    SL_E_NOMEM = -1,    /* memory is out, or a budget is used up */
    SL_E_LIMIT = -2,    /* a stated maximum would be passed */
    SL_E_INVALID = -3,  /* the caller's input is malformed */
    SL_E_PROTOCOL = -4, /* the peer broke its protocol */
    SL_E_AGAIN = -5,    /* more input, or another turn, is needed */
    SL_E_EOF = -6,      /* the input ended, where more was due */
    SL_E_IO = -7,       /* the operating system refused */
    SL_E_NOTFOUND = -8, /* no such thing */
    SL_E_TIMEOUT = -9,  /* a time limit passed */
    SL_E_CANCELED = -10,
    SL_E_DENIED = -11, /* known, and not allowed */
    SL_E_EXISTS = -12, /* a thing of that name is there already */
};

/* A short name in lower case ("limit", "protocol"): static storage. */
const char *sl_error_name(int error);

#endif

/* m_audit: a row for every command that has an effect, in its transaction.
 *
 * Rows are chained: a row's hash is SHA-256 over the hash before it and the row, so that a row that
 * was changed, left out or put in between is found. Who can write the file can make a whole new
 * chain: a head that was noted elsewhere shows that, too. */
#ifndef REC_VERSION_AUDIT_H
#define REC_VERSION_AUDIT_H

#include "../../base/options.h"
#include "version_live.h"

/* Who does it, when and why: the `options` of a command. */
typedef struct AuditNote {
    double at; /* unix seconds; not finite: now */
    char author[ROUTE_NAME];
    char note[256];
} AuditNote;
/* Reads options (NULL: nothing given) with what else the command takes there. */
Status audit_note_read(AuditNote *out, sqlite3_value *options, const OptTarget *more, Err *err);

/* The time that a row written now has: note->at, or the clock's, but never before the last row's,
 * so that the order of rows is the order of times. An error where note->at is. */
Status audit_time(const Versioned *versioned, const AuditNote *note, double *out, Err *err);

/* An error where m_audit is somebody else's: asked before anything is done. */
Status audit_may_append(const Versioned *versioned, Err *err);

/* Append a row. detail: JSON, or NULL. What is live is added where it is not what the last row that
 * has it says. */
Status audit_append(const Versioned *versioned, const char *command, const char *detail,
    const AuditNote *note, Err *err);

/* What is wrong, as a sentence that bytes_clear frees; empty: nothing. */
typedef struct AuditFinding {
    sqlite3_int64 rows, bad_row; /* bad_row 0: no row, but what the rows say together */
    char head[SHA256_TEXT];      /* of the last row; "" where there is none */
    char what[200];              /* "": the chain holds */
} AuditFinding;
/* Follow the chain to its end, and compare what its last row says is live with what is. head: a
 * hash that must be in the chain, or NULL. O(rows). */
Status audit_verify(const Versioned *versioned, const char *head, AuditFinding *out, Err *err);

#endif

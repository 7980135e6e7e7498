/* Counts and sums with differential privacy, and their ledger. */
#ifndef REC_PRIVACY_H
#define REC_PRIVACY_H

#include "../versions/version_commands.h"

/* arg: {"rho": n}: what all releases together may cost; set once, later only lowered. */
Status command_privacy_budget(const CommandCall *call, Err *err);
/* arg: {"name":, "of":, "rho":, ...}: a release, with its row in the ledger. */
Status command_release(const CommandCall *call, Err *err);

/* The transaction in which releases were made has ended, one way or the other: they can be read. */
void privacy_settled(sqlite3 *db);

#endif

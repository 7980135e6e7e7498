/* The command forget: a user is erased. */
#ifndef REC_MODEL_FORGET_H
#define REC_MODEL_FORGET_H

#include "../host/commands.h"

/* arg: a user, or {"user":, "events": "delete" | "keep", "versions": "rewrite" | "drop" |
 * "keep"}. */
Status command_forget(const CommandCall *call, Err *err);

#endif

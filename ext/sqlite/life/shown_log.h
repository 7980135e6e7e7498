/* The log of what was shown and what followed: m_lists, m_shown and m_outcomes (versioned.h),
 * written by commands, made by the first of them. Users and items are stored as the events have
 * them. */
#ifndef REC_SHOWN_LOG_H
#define REC_SHOWN_LOG_H

#include "../versions/version_commands.h"

/* The tables of the log. */
Status log_ensure(const Versioned *versioned, Err *err);
/* arg: {"list":, "user":, "items": [...], ...}: a list as it was shown. */
Status command_shown(const CommandCall *call, Err *err);
/* arg: {"list": or "user":, "item":, "kind":, "value":, "at":}: what followed. */
Status command_outcome(const CommandCall *call, Err *err);
/* arg: {"from":, "to":}: the log of an anonymous session becomes a user's. */
Status command_merge_user(const CommandCall *call, Err *err);

#endif

/* The command flush-stats. */
#ifndef REC_STATS_FLUSH_H
#define REC_STATS_FLUSH_H

#include "../versions/version_commands.h"

/* What this process has counted of the model so far, as rows of m_stats, for those who look
 * later. */
Status command_flush_stats(const CommandCall *call, Err *err);

#endif

/* The command `bandit`: the next shares of the experiment that runs, from what followed so far. */
#ifndef REC_BANDIT_H
#define REC_BANDIT_H

#include "../versions/version_commands.h"

/* arg: nothing, or {"metric":, "draws":, "seed":, "floor":, "burn_in":, "top_two":}. Thompson
 * sampling on the normal posteriors of the arms' means (metrics/experiment.h); the audit has the
 * arms' values, the chances that each is the best, and the seed. */
Status command_bandit(const CommandCall *call, Err *err);

#endif

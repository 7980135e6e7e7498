/* Lists in whose order chance has a part: two rankings drawn into one, and a place swapped. Ids are
 * of whatever both rankings share. */
#ifndef REC_INTERLEAVE_H
#define REC_INTERLEAVE_H

#include <stddef.h>
#include <stdint.h>

/* Whose item stands at a place, and where that is in its own ranking. */
typedef struct TeamPick {
    int team;  /* 0 or 1 */
    size_t at; /* from 0 */
} TeamPick;

typedef struct Ranking {
    const int32_t *id; /* the best first, each once */
    size_t n;
} Ranking;

/* Team draft (Radlinski, Kurup and Joachims 2008): in each round a coin says who picks first; each
 * team adds its best item that is not yet listed, and owns it. coin(context, round) is 0 or 1: the
 * team that begins. scratch: ids are below its length in bytes; all zeros before and after. Returns
 * how many places are filled, k at most. O(k + the ids passed over). */
size_t team_draft(TeamPick *out, size_t k, const Ranking team[2],
    int (*coin)(void *context, uint64_t round), void *context, unsigned char *scratch);

/* The most places for which team_draft_propensity counts all coins. */
enum { TEAM_DRAFT_EXACT = 24 };
/* How often over all coins each place has the id that out[place] has, for the first `places`, at
 * most TEAM_DRAFT_EXACT. O(2^(places / 2) places). */
void team_draft_propensity(double *propensity, size_t places, const TeamPick *drawn,
    const Ranking team[2], unsigned char *scratch);

/* The first item and that of a place drawn uniformly from the first n change places: how often an
 * item whose place in the ranking is `rank` (from 1; 0: it has none) comes to stand at `place`. */
double swap_propensity(int64_t rank, int64_t place, int64_t n);

#endif

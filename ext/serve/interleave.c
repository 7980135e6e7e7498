#include "interleave.h"

/* The team's next item that is not listed; 0: it has none left. */
static int pick(
    TeamPick *out, int team, const Ranking *ranking, size_t *next, unsigned char *listed) {
    while (*next < ranking->n && listed[ranking->id[*next]]) ++*next;
    if (*next == ranking->n) return 0;
    listed[ranking->id[*next]] = 1;
    *out = (TeamPick){team, (*next)++};
    return 1;
}

size_t team_draft(TeamPick *out, size_t k, const Ranking team[2],
    int (*coin)(void *context, uint64_t round), void *context, unsigned char *scratch) {
    size_t n = 0, next[2] = {0, 0}, before;
    uint64_t round = 0;
    do {
        before = n;
        int first = coin(context, round++);
        for (int turn = 0; turn < 2 && n < k; turn++) {
            int own = first ^ turn;
            n += (size_t)pick(&out[n], own, &team[own], &next[own], scratch);
        }
    } while (n < k && n > before);
    for (size_t i = 0; i < n; i++) scratch[team[out[i].team].id[out[i].at]] = 0;
    return n;
}

static int coin_of_bits(void *context, uint64_t round) {
    return (int)(*(const uint64_t *)context >> round & 1);
}

void team_draft_propensity(double *propensity, size_t places, const TeamPick *drawn,
    const Ranking team[2], unsigned char *scratch) {
    TeamPick other[TEAM_DRAFT_EXACT];
    uint64_t coins, all = (uint64_t)1 << ((places + 1) / 2);
    for (size_t i = 0; i < places; i++) propensity[i] = 0;
    for (coins = 0; coins < all; coins++) {
        size_t n = team_draft(other, places, team, coin_of_bits, &coins, scratch);
        for (size_t i = 0; i < n; i++)
            propensity[i] += team[other[i].team].id[other[i].at] ==
                team[drawn[i].team].id[drawn[i].at];
    }
    for (size_t i = 0; i < places; i++) propensity[i] /= (double)all;
}

double swap_propensity(int64_t rank, int64_t place, int64_t n) {
    if (rank < 1) return 0;
    if (n < 2 || place > n) return rank == place;
    if (place == 1) return rank <= n ? 1 / (double)n : 0;
    if (rank == place) return (double)(n - 1) / (double)n;
    return rank == 1 ? 1 / (double)n : 0;
}

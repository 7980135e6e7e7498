/* Which arm of a split somebody belongs to, without stored state.
 *
 * Weighted rendezvous (Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005): every arm
 * draws an exponential variable for the unit, -log2(hash) / share, and the smallest one has it. So
 * an arm gets its share of the units, and where shares change, a unit moves from an arm to another
 * one only if their quotient changed in the other one's favour: where one arm grows at the cost of
 * the rest, units move to it alone. All of it is integers, so that processes, machines and versions
 * of this library agree on every unit.
 *
 *     static const RouteArm arms[] = {{"control", 900000000}, {"canary", 100000000}};
 *     route_arm(key, "salt of the experiment", arms, 2, &arm)      arm: 0, 1, or -1 for the rest */
#ifndef REC_ROUTE_H
#define REC_ROUTE_H

#include "../base/keymap.h"

/* Shares are parts of a thousand million. */
enum { ROUTE_WHOLE = 1000000000, ROUTE_MAX_ARMS = 16, ROUTE_NAME = 64 };

typedef struct RouteArm {
    char name[ROUTE_NAME];
    int64_t share; /* 0 .. ROUTE_WHOLE; all of them together at most ROUTE_WHOLE */
} RouteArm;

/* The unit's arm; -1: one of those whom the shares leave out. The same salt, names and shares give
 * the same arm, in whichever order the arms come. Another salt splits independently. Returns 0 when
 * there is no memory. O(n). */
int route_arm(Key unit, const char *salt, const RouteArm *arm, int n, int *out);

/* -log2((hash + 1) / 2^64) times 2^32, rounded down to it: how the arms draw. */
uint64_t route_exponential(uint64_t hash);

/* A uniform number that only this unit, salt and draw have: coins of an interleaving, places of a
 * swap. Returns 0 when there is no memory. */
int route_hash(Key unit, const char *salt, uint64_t draw, uint64_t *out);

#endif

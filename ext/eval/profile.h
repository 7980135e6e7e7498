/* What events and lists looked like: kept with a version, so that later ones can be compared with
 * what it was trained on (drift.h).
 *
 * A day is 24 hours, counted back from the newest event, so that none is begun. Of each of the last
 * PROFILE_DAYS a few numbers are kept, and of all of them together shares of items by bins of a
 * hash, and quantiles of the weights. */
#ifndef REC_PROFILE_H
#define REC_PROFILE_H

#include "../models/model.h"

enum {
    PROFILE_DAYS = 28,
    PROFILE_LOOK = 28,      /* days in which who was seen before is not new */
    PROFILE_BINS = 32,      /* of items */
    PROFILE_QUANTILES = 21, /* of weights: 0, .05, .., 1 */
    PROFILE_LISTS = 100,    /* users whose lists are looked at */
    PROFILE_COVERS = 30,    /* of them those whose lists' coverage is: always as many */
    PROFILE_LENGTH = 10     /* of such a list */
};

/* What is said of a day. Of a day without events only that there are none; NaN also where there is
 * nothing to look back at. */
typedef enum DayNumber {
    DAY_EVENTS,   /* log(1 + events) */
    DAY_ITEMS,    /* Jensen-Shannon divergence of its items (bins) from those of the other days over
                      what so many draws have by chance, its cube root */
    DAY_ACTIVITY, /* mean over its users of log(events) */
    DAY_WEIGHT,   /* mean of asinh(weight) */
    DAY_NEW_USERS, /* share of its events by users not seen in the PROFILE_LOOK days before */
    DAY_NEW_ITEMS, /* share of its events with such items */
    N_DAY_NUMBERS
} DayNumber;

typedef struct ProfileDay {
    double number[N_DAY_NUMBERS]; /* NaN: it has no events */
} ProfileDay;

typedef struct Profile {
    char fingerprint[33]; /* of all events as a set; "": none */
    int64_t events, users, items;
    double first, last; /* unix seconds; both 0 where there is no time */
    int n_days;         /* the newest day first */
    int skipped;        /* of what came since a reference: days between it and the first */
    ProfileDay day[PROFILE_DAYS];
    double bin[PROFILE_BINS];         /* counts of items, all days together */
    double weight[PROFILE_QUANTILES]; /* all days together */
    /* of the lists of some users; n_lists 0: they were not looked at */
    int n_lists;
    double score[PROFILE_LISTS]; /* of the first item, ascending */
    double coverage;             /* of PROFILE_COVERS lists: distinct items / rows */
    double popularity;           /* mean over rows of log2(users of the item) */
} Profile;

/* Events by ids of these keys, in any order. */
typedef struct ProfileEvents {
    const KeyMap *users, *items;
    const Event *event;
    int64_t n;
    int has_time;
} ProfileEvents;
/* Only what came after another profile's newest event: of the whole days until now the last
 * PROFILE_DAYS, counted forward. */
typedef struct ProfileSince {
    const Profile *reference; /* DAY_ITEMS is the distance from its bins */
    double now;               /* unix seconds */
} ProfileSince;
/* since: NULL for the last days, counted back. O(events + users). */
Status profile_of_events(
    Profile *out, const ProfileEvents *events, const ProfileSince *since, Err *err);
/* The fingerprint alone. O(events). */
Status profile_fingerprint(const ProfileEvents *events, char out[33], Err *err);

/* The distance of a day's items from shares of others, as DAY_ITEMS has it: bins are counts. */
double profile_distance(const double *day, const double *others);

/* Of n the i-th, from 0: is it one of m that lie evenly among them? */
static inline int is_picked(int64_t i, int64_t n, int64_t m) {
    return m >= n || i == 0 || i * m / n != (i - 1) * m / n;
}

/* One user's list at a time. */
typedef struct ListProfile {
    const Model *model;
    ModelQuery *query;
    uint64_t *allowed;
    uint8_t *listed;                 /* per item */
    int64_t rows, covered, distinct; /* covered: rows of the lists that cover */
    double popularity;
} ListProfile;
Status list_profile_begin(ListProfile *out, const Model *model, Err *err);
/* Her first PROFILE_LENGTH items that she does not have; users beyond PROFILE_LISTS are passed
 * over. covers: is it one of the PROFILE_COVERS? */
Status list_profile_add(
    ListProfile *lists, Profile *out, const History *history, int covers, Err *err);
/* Also after an error. */
void list_profile_end(ListProfile *lists, Profile *out);

void profile_json(const Profile *profile, Bytes *out);
/* Checked: the text is a database's. ST_CORRUPT for what is none. */
Status profile_parse(const char *json, Profile *out, Err *err);

#endif

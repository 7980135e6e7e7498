/* A node of a dqlite cluster whose every connection has sqlite-recommend.
 *
 *     node ID ADDRESS DIRECTORY [SILENCE]
 *
 * ID 1 with an empty DIRECTORY founds a cluster; others join by a client's word (cluster.py). A
 * node is started again with the same arguments. SIGTERM and SIGINT end it.
 *
 * SILENCE, in milliseconds, 150 to 60000: when nothing was heard from the leader for so long, or up
 * to twice as long, the others choose a new one. dqlite's own is 3000. A node does one thing at a
 * time, so no statement may take longer. */
#include <dqlite.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int sqlite3_recommend_init(sqlite3 *db, char **error, const void *api);

/* Whatever is sent to a node stands in its log of changes, and a database in memory, once a node:
 * the log is cut after so many changes, and so many are kept for who comes late. */
enum { SNAPSHOT_AFTER = 256, CHANGES_KEPT = 256 };

/* dqlite's file system cannot give back pages that a transaction has written before its end, where
 * no log stands before it ("disk I/O error (522)"): all changed pages stay in memory until then. */
static int keep_changes_in_memory(sqlite3 *db, char **error, const void *api) {
    (void)api;
    return sqlite3_exec(db, "PRAGMA cache_spill = OFF", NULL, NULL, error);
}

static int failed(const char *what, int code) {
    fprintf(stderr, "node: %s: error %d\n", what, code);
    return 1;
}

/* dqlite derives it from the network's latency, fifteen times that. */
static int set_silence(dqlite_node *node, unsigned long milliseconds) {
    return milliseconds ? dqlite_node_set_network_latency_ms(node, (unsigned)(milliseconds / 15))
                        : 0;
}

static int serve(dqlite_node *node, const char *address, unsigned long silence) {
    sigset_t ends;
    int code, signal_number;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL); /* before there are threads, which inherit it */
    if ((code = dqlite_node_set_bind_address(node, address))) return failed(address, code);
    if ((code = dqlite_node_set_snapshot_params(node, SNAPSHOT_AFTER, CHANGES_KEPT)))
        return failed("snapshots", code);
    if ((code = set_silence(node, silence))) return failed("silence", code);
    if ((code = dqlite_node_start(node))) return failed("start", code);
    sigwait(&ends, &signal_number);
    dqlite_node_stop(node);
    return 0;
}

/* A number from low to high; 0 where the text is none. */
static unsigned long long number(
    const char *text, unsigned long long low, unsigned long long high) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    return !errno && *text >= '0' && *text <= '9' && !*end && value >= low && value <= high ? value : 0;
}

int main(int argc, char **argv) {
    dqlite_node *node = NULL;
    dqlite_node_id id = argc == 4 || argc == 5 ? number(argv[1], 1, UINT64_MAX) : 0;
    unsigned long silence = argc == 5 ? (unsigned long)number(argv[4], 150, 60000) : 0;
    if (!id || (argc == 5 && !silence)) {
        fprintf(stderr,
            "usage: node ID ADDRESS DIRECTORY [SILENCE]\n"
            "  ID 1, 2, ...; ADDRESS host:port; SILENCE milliseconds, 150 to 60000\n");
        return 2;
    }
    if (mkdir(argv[3], 0700) && errno != EEXIST) return perror(argv[3]), 1;
    signal(SIGPIPE, SIG_IGN); /* a client that has gone is no reason to end */
    /* before the first node, which opens connections */
    int code = sqlite3_auto_extension((void (*)(void))keep_changes_in_memory);
    if (!code) code = sqlite3_auto_extension((void (*)(void))sqlite3_recommend_init);
    if (code) return failed("the extension", code);
    code = dqlite_node_create(id, argv[2], argv[3], &node);
    int status = code ? failed(argv[3], code) : serve(node, argv[2], silence);
    dqlite_node_destroy(node);
    return status;
}

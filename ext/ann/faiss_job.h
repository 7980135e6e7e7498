/* C++ only: FAISS at work on this thread on behalf of a job that can be given up. */
#ifndef REC_FAISS_JOB_H
#define REC_FAISS_JOB_H

#include <faiss/impl/AuxIndexStructures.h>
#include <omp.h>

namespace {

/* Set while this thread is inside FAISS on behalf of a job. */
thread_local int (*polled)(void *host);
thread_local void *polled_host;

struct Poll : faiss::InterruptCallback {
    bool want_interrupt() override { return polled && polled(polled_host); }
};

/* On this thread FAISS polls and uses so many threads, until the end of the scope. */
class Job {
    int host_threads;
    int our_threads;

  public:
    Job(int threads, int (*poll)(void *host), void *host)
        : host_threads(omp_get_max_threads()), our_threads(threads) {
        static const bool installed = (faiss::InterruptCallback::instance.reset(new Poll), true);
        static_cast<void>(installed);
        omp_set_num_threads(threads);
        polled = poll;
        polled_host = host;
    }
    ~Job() {
        polled = nullptr;
        omp_set_num_threads(host_threads);
        /* OpenMP keeps a team for this thread; a forked child would wait for it for ever */
        if (our_threads > 1) omp_pause_resource(omp_pause_hard, omp_get_initial_device());
    }
};

} // namespace

#endif

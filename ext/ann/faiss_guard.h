/* C++ only: no exception leaves the files that call FAISS. */
#ifndef REC_FAISS_GUARD_H
#define REC_FAISS_GUARD_H

#include <cstddef>
#include <cstdio>
#include <exception>

struct Malformed : std::exception {
    const char *what() const noexcept override { return "a length or row number is wrong"; }
};

struct Unfit : std::exception {
    const char *reason;
    explicit Unfit(const char *reason_) : reason(reason_) {}
    const char *what() const noexcept override { return reason; }
};

/* Run it; an exception becomes -1 and its text. */
template <class Body> int guarded(char *text, size_t size, Body body) {
    try {
        body();
        return 0;
    } catch (const std::exception &e) { snprintf(text, size, "%s", e.what()); } catch (...) {
        snprintf(text, size, "unknown exception");
    }
    return -1;
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* other_cpu.cc: the second CPU of a benchmark, a thread (threads.hh). */
#include "threads.hh"

#include <condition_variable>
#include <host.h>
#include <mutex>
#include <thread>

namespace bench {

/* The other CPU's thread: one for the whole program, so that nobody's per-thread state dies. */
class Other {
  public:
    Other() : thread_([this] { serve(); })
    {
        thread_.detach();
    }
    void start(void (*job)(uint32_t cpu))
    {
        std::unique_lock<std::mutex> hold(mutex_);
        job_ = job;
        changed_.notify_all();
    }
    void wait()
    {
        std::unique_lock<std::mutex> hold(mutex_);
        changed_.wait(hold, [this] { return job_ == nullptr; });
    }

  private:
    void serve()
    {
        host_cpu_set(1);
        std::unique_lock<std::mutex> hold(mutex_);
        for (;;) {
            changed_.wait(hold, [this] { return job_ != nullptr; });
            void (*job)(uint32_t cpu) = job_;
            hold.unlock();
            job(1);
            hold.lock();
            job_ = nullptr;
            changed_.notify_all();
        }
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    void (*job_)(uint32_t cpu) = nullptr;
    std::thread thread_;
};

static Other &other()
{
    static Other *o = new Other; /* never destroyed: its thread outlives main() */
    return *o;
}

void on_two_cpus(void (*job)(uint32_t cpu))
{
    other().start(job);
    job(0);
    other().wait();
}

void on_other_cpu(void (*job)(uint32_t cpu))
{
    other().start(job);
    other().wait();
}

} // namespace bench

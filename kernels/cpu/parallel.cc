#include "cpu/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>

namespace coopdraw {
namespace {

// Longer than a wake-up takes, short enough to be no load.
constexpr std::chrono::microseconds kSpin{5};

int usable_processors() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count ? static_cast<int>(count) : 1;
}

struct Job {
  void (*task)(const void*, int64_t);
  const void* context;
  int64_t count;
  std::atomic<int64_t> next{0};

  void work() {
    for (int64_t index; (index = next.fetch_add(1, std::memory_order_relaxed)) < count;) task(context, index);
  }
};

class Pool {
 public:
  Pool() {
    for (int index = 1; index < thread_count(); ++index) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (const std::system_error&) {
        break;  // the threads there are do the work
      }
    }
  }

  void run(Job& job) {
    std::unique_lock<std::mutex> only(running_, std::try_to_lock);
    if (!only.owns_lock()) return job.work();
    {
      std::lock_guard<std::mutex> guard(mutex_);
      job_ = &job;
    }
    wake_.notify_all();
    job.work();
    // Workers that come too late find no job; those that came in time are waited for.
    const auto give_up = std::chrono::steady_clock::now() + kSpin;
    std::unique_lock<std::mutex> guard(mutex_);
    job_ = nullptr;
    while (busy_ > 0 && std::chrono::steady_clock::now() < give_up) {
      guard.unlock();
      std::this_thread::yield();
      guard.lock();
    }
    done_.wait(guard, [this] { return busy_ == 0; });
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> guard(mutex_);
    for (;;) {
      wake_.wait(guard, [this] { return job_ != nullptr; });
      Job& job = *job_;
      ++busy_;
      guard.unlock();
      job.work();
      guard.lock();
      if (job_ == &job) job_ = nullptr;
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex running_;  // held by the call that has the workers
  std::mutex mutex_;    // of what follows
  std::condition_variable wake_, done_;
  Job* job_ = nullptr;
  int busy_ = 0;
};

// Never destroyed: its threads wait in it until the process ends. A child of fork has none of them and makes its own.
std::atomic<Pool*> shared_pool{nullptr};
std::mutex making_pool;

Pool& pool() {
  Pool* found = shared_pool.load(std::memory_order_acquire);
  if (found) return *found;
  std::lock_guard<std::mutex> guard(making_pool);
  found = shared_pool.load(std::memory_order_acquire);
  if (!found) {
    static const int registered = pthread_atfork(nullptr, nullptr, [] { shared_pool = nullptr; });
    (void)registered;
    shared_pool.store(found = new Pool, std::memory_order_release);
  }
  return *found;
}

}  // namespace

int thread_count() {
  static const int count = [] {
    const int most = usable_processors();
    const char* text = std::getenv("COOPDRAW_THREADS");
    const long wanted = text ? std::strtol(text, nullptr, 10) : 0;
    return wanted >= 1 && wanted < most ? static_cast<int>(wanted) : most;
  }();
  return count;
}

void run_tasks(int64_t count, void (*task)(const void*, int64_t), const void* context) {
  Job job{task, context, count};
  if (count > 1) {
    pool().run(job);
  } else {
    job.work();
  }
}

}  // namespace coopdraw

// A pool of threads for short parallel loops on a machine that others use too.
//
// OpenMP ends a loop when every thread has arrived, even one that was given nothing to do because the system had not let it run: with
// another busy process on two cores, a step of some hundred loops then takes seconds instead of milliseconds. Here the caller takes
// chunks like everybody else and waits only for chunks that somebody has begun; a helper that does not get a core is not missed.
// A helper out of work spins for some microseconds, because the next loop usually follows at once, and then sleeps.
#pragma once
#include <immintrin.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

class Pool {
 public:
  static Pool& instance() {
    static Pool* pool = new Pool;  // never destroyed: its threads may outlive static destructors
    return *pool;
  }

  void start(int threads) {
    for (; helpers_ < threads - 1; helpers_++) std::thread([this] { help(); }).detach();
  }

  int threads() const { return helpers_ + 1; }

  // body(begin, end) for chunks of [0, total); the caller works too. Not reentrant: one caller, the model's thread.
  template <class Body>
  void loop(int64_t total, int64_t chunk, const Body& body) {
    chunk = std::max<int64_t>(chunk, 1);
    const int64_t chunks = (total + chunk - 1) / chunk;
    if (chunks <= 1 || helpers_ == 0 || chunks > MASK) {
      if (total > 0) body(0, total);
      return;
    }
    call_ = [](const void* data, int64_t begin, int64_t end) { (*static_cast<const Body*>(data))(begin, end); };
    data_ = &body, total_ = total, chunk_ = chunk;
    finished_.store(0, std::memory_order_relaxed);
    round_ = (round_ + 1) & 0xFFFF;
    ticket_.store(uint64_t(round_) << 48 | uint64_t(chunks) << 24);
    if (sleepers_.load() > 0) {
      std::lock_guard<std::mutex> guard(mutex_);
      wake_.notify_all();
    }
    while (work()) {
    }
    for (int spins = 0; finished_.load(std::memory_order_acquire) < chunks; spins++) {
      if (spins < 4000)
        _mm_pause();
      else
        sched_yield();  // somebody holds a chunk and is not running: give up the core to it
    }
  }

 private:
  static constexpr uint64_t MASK = (1 << 24) - 1;
  static constexpr int SPINS = 3000;  // some 40 microseconds

  static bool has_work(uint64_t ticket) { return (ticket & MASK) < (ticket >> 24 & MASK); }

  // Round, number of chunks and next chunk are one word: a claim is valid or not whatever happened since the word was read.
  bool work() {
    if (!has_work(ticket_.load(std::memory_order_acquire))) return false;
    const uint64_t claim = ticket_.fetch_add(1);
    if (!has_work(claim)) return false;
    const int64_t begin = int64_t(claim & MASK) * chunk_;
    call_(data_, begin, std::min(begin + chunk_, total_));
    finished_.fetch_add(1, std::memory_order_release);
    return true;
  }

  void help() {
    for (;;) {
      int spins = 0;
      while (spins < SPINS) {
        if (work()) {
          spins = 0;
        } else {
          _mm_pause();
          spins++;
        }
      }
      std::unique_lock<std::mutex> lock(mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [this] { return has_work(ticket_.load()); });
      sleepers_.fetch_sub(1);
    }
  }

  int helpers_ = 0;
  uint32_t round_ = 0;
  void (*call_)(const void*, int64_t, int64_t) = nullptr;
  const void* data_ = nullptr;
  int64_t total_ = 0, chunk_ = 1;
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> finished_{0};
  alignas(64) std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Sampling one token per row of probabilities with a seed per row: the Gumbel-max trick as SGLang's deterministic sampler does it,
// argmax over i of log(p[i]) - log(-log(u[i])), where u[i] is a hash of (seed, position, i).
//
// SGLang evaluates two double-precision logarithms for every vocabulary entry. Here a single-precision estimate of the same score
// narrows a row to the few entries that can win, and only those are evaluated in double precision: the same token, some twenty
// times sooner. With top-k, top-p or min-p the entries that survive compete under the hash of their vocabulary index (SGLang takes
// the index in a sorted order), so a row's token does not depend on what its neighbours in the batch asked for.
//
// Compiled together with kernels.cpp.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "pool.cpp"  // a header in all but name: only .cpp files are packaged

namespace {

inline uint32_t rotate(uint32_t x, int r) { return (x << r) | (x >> (32 - r)); }

inline uint32_t mix(uint32_t h, uint32_t k) {  // one round of MurmurHash3
  k *= 0xCC9E2D51u;
  k = rotate(k, 15);
  k *= 0x1B873593u;
  h ^= k;
  return rotate(h, 13) * 5u + 0xE6546B64u;
}

inline uint32_t finish(uint32_t h) {
  h ^= 16u;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  return h ^ (h >> 16);
}

inline uint32_t row_state(uint64_t seed, uint32_t position) {
  return mix(mix(mix(0u, uint32_t(seed)), uint32_t(seed >> 32)), position);
}

inline float fast_log(float x) {  // x > 0, normal; relative error of the result about 1e-6 away from 1
  int32_t bits;
  std::memcpy(&bits, &x, 4);
  const int32_t e = (bits - 0x3f2aaaab) >> 23;
  const int32_t m_bits = bits - int32_t(uint32_t(e) << 23);
  float m;
  std::memcpy(&m, &m_bits, 4);
  const float f = m - 1.0f;
  const float s = f * f;
  float r = 0.230836749f * f - 0.279208571f;
  const float t = 0.331826031f * f - 0.498910338f;
  r = (r * s + t) * s + f;
  return r + float(e) * 0.693147182f;
}

// -log(u) for u = hash / (2^32 - 1); from the distance to 1 where u is close to it
inline float exponential(uint32_t hash) {
  const uint32_t rest = ~hash;  // in two halves: there is no vector conversion from unsigned
  const float whole = float(int32_t(rest >> 16)) * 65536.0f + float(int32_t(rest & 0xFFFFu));
  const float near = (whole < 1.0f ? 1.0f : whole) * (1.0f / 4294967296.0f);
  const float series = near * (1.0f + near * (0.5f + near * 0.33333334f));
  const float u = (float(int32_t(hash >> 1)) + 0.5f) * (2.0f / 4294967296.0f);
  const float direct = -fast_log(u);
  return near < 0.01f ? series : direct;
}

inline double exact_score(float p, uint32_t hash) {  // SGLang's formula, in its precision
  double x = std::log(double(hash) / 4294967295.0);
  x = std::min(std::max(x, -std::numeric_limits<double>::max()), -std::ldexp(1.0, -32));
  return double(std::log(p)) - std::log(-x);
}

int64_t pick_among_all(const float* p, int64_t n, uint32_t state, float* ratio) {
  float best = 0.0f;
#pragma omp simd reduction(max : best)
  for (int64_t i = 0; i < n; i++) {
    const float r = p[i] / exponential(finish(mix(state, uint32_t(i))));
    ratio[i] = r;
    best = r > best ? r : best;
  }
  const float bar = best * 0.999f;  // much wider than the estimate's error
  double top = -std::numeric_limits<double>::infinity();
  int64_t winner = 0;
  for (int64_t i = 0; i < n; i++) {
    if (ratio[i] < bar) continue;
    const double score = exact_score(p[i], finish(mix(state, uint32_t(i))));
    if (score > top) top = score, winner = i;
  }
  return winner;
}

int64_t pick_filtered(const float* p, int64_t n, uint32_t state, int64_t top_k, float top_p, float min_p, std::vector<int32_t>& kept) {
  float peak = 0.0f;
  for (int64_t i = 0; i < n; i++) peak = std::max(peak, p[i]);
  // Entries below (1 - top_p) / n hold less than 1 - top_p in total: they are cut whatever their order.
  const float floor = std::max(min_p * peak, top_p < 1.0f ? (1.0f - top_p) / float(n) * 0.5f : 0.0f);
  kept.clear();
  for (int64_t i = 0; i < n; i++)
    if (p[i] >= floor) kept.push_back(int32_t(i));
  const auto ahead = [p](int32_t a, int32_t b) { return p[a] > p[b] || (p[a] == p[b] && a < b); };
  if (top_k < int64_t(kept.size())) {
    std::nth_element(kept.begin(), kept.begin() + top_k, kept.end(), ahead);
    kept.resize(top_k);
  }
  if (top_p < 1.0f) {
    std::sort(kept.begin(), kept.end(), ahead);
    double sum = 0.0;
    size_t count = 0;
    while (count < kept.size() && sum <= double(top_p)) sum += p[kept[count++]];
    kept.resize(count);
  }
  double top = -std::numeric_limits<double>::infinity();
  int64_t winner = kept.empty() ? 0 : kept[0];
  for (const int32_t i : kept) {
    const double score = exact_score(p[i], finish(mix(state, uint32_t(i))));
    if (score > top || (score == top && i < winner)) top = score, winner = i;
  }
  return winner;
}

}  // namespace

extern "C" {

// top_k, top_p and min_p may be null together: no filter for any row
void ttsc_sample(const float* probs, int64_t rows, int64_t n, const int64_t* seeds, const int64_t* positions, const int32_t* top_k,
                 const float* top_p, const float* min_p, int32_t* tokens) {
  Pool::instance().loop(rows, 1, [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> ratio;
    static thread_local std::vector<int32_t> kept;
    ratio.resize(n);
    for (int64_t r = begin; r < end; r++) {
      const uint32_t state = row_state(uint64_t(seeds[r]), uint32_t(positions[r]));
      const float* p = probs + r * n;
      const bool filtered = top_k != nullptr && (top_k[r] < n || top_p[r] < 1.0f || min_p[r] > 0.0f);
      tokens[r] = int32_t(filtered ? pick_filtered(p, n, state, top_k[r], top_p[r], min_p[r], kept)
                                   : pick_among_all(p, n, state, ratio.data()));
    }
  });
}

// For tests: the hash itself, as SGLang's murmur_hash32.
void ttsc_murmur(const int64_t* seeds, const int64_t* positions, int64_t rows, int64_t n, uint32_t* out) {
  for (int64_t r = 0; r < rows; r++) {
    const uint32_t state = row_state(uint64_t(seeds[r]), uint32_t(positions[r]));
    for (int64_t i = 0; i < n; i++) out[r * n + i] = finish(mix(state, uint32_t(i)));
  }
}
}

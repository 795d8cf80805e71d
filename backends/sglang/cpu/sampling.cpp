// Sampling one token per row of probabilities with a seed per row: the Gumbel-max trick as SGLang's deterministic sampler does it,
// argmax over i of log(p[i]) - log(-log(u[i])), where u[i] is a hash of (seed, position, i).
//
// SGLang evaluates two double-precision logarithms for every vocabulary entry of a softmax. Here a single-precision estimate of the
// same score, straight from the logits, narrows a row to the few entries that can win, and only those are evaluated in double
// precision. With top-k, top-p or min-p the entries that survive compete under the hash of their vocabulary index (SGLang takes
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
#include "vectors.cpp"

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

inline __m256i rotate8(__m256i x, int r) { return _mm256_or_si256(_mm256_slli_epi32(x, r), _mm256_srli_epi32(x, 32 - r)); }

inline __m256i times8(__m256i x, uint32_t y) { return _mm256_mullo_epi32(x, _mm256_set1_epi32(int32_t(y))); }

inline __m256i hash8(uint32_t state, __m256i index) {  // finish(mix(state, index))
  const __m256i k = times8(rotate8(times8(index, 0xCC9E2D51u), 15), 0x1B873593u);
  __m256i h = _mm256_xor_si256(_mm256_set1_epi32(int32_t(state)), k);
  h = _mm256_add_epi32(times8(rotate8(h, 13), 5u), _mm256_set1_epi32(int32_t(0xE6546B64u)));
  h = _mm256_xor_si256(h, _mm256_set1_epi32(16));
  h = times8(_mm256_xor_si256(h, _mm256_srli_epi32(h, 16)), 0x85EBCA6Bu);
  h = times8(_mm256_xor_si256(h, _mm256_srli_epi32(h, 13)), 0xC2B2AE35u);
  return _mm256_xor_si256(h, _mm256_srli_epi32(h, 16));
}

inline __m256 log8(__m256 x) {  // x > 0, normal; relative error of the result about 1e-6 away from 1
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i e = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f2aaaab)), 23);
  const __m256 f = _mm256_sub_ps(_mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(e, 23))), _mm256_set1_ps(1.0f));
  const __m256 s = _mm256_mul_ps(f, f);
  __m256 r = _mm256_fmadd_ps(_mm256_set1_ps(0.230836749f), f, _mm256_set1_ps(-0.279208571f));
  const __m256 t = _mm256_fmadd_ps(_mm256_set1_ps(0.331826031f), f, _mm256_set1_ps(-0.498910338f));
  r = _mm256_fmadd_ps(_mm256_fmadd_ps(r, s, t), s, f);
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(e), _mm256_set1_ps(0.693147182f), r);
}

// -log(u) for u = hash / (2^32 - 1); from the distance to 1 where u is close to it
inline __m256 exponential8(__m256i hash) {
  const __m256i rest = _mm256_xor_si256(hash, _mm256_set1_epi32(-1));  // in two halves: no conversion from unsigned
  const __m256 high = _mm256_cvtepi32_ps(_mm256_srli_epi32(rest, 16));
  const __m256 low = _mm256_cvtepi32_ps(_mm256_and_si256(rest, _mm256_set1_epi32(0xFFFF)));
  const __m256 whole = _mm256_max_ps(_mm256_fmadd_ps(high, _mm256_set1_ps(65536.0f), low), _mm256_set1_ps(1.0f));
  const __m256 near = _mm256_mul_ps(whole, _mm256_set1_ps(1.0f / 4294967296.0f));
  __m256 series = _mm256_fmadd_ps(near, _mm256_set1_ps(0.33333334f), _mm256_set1_ps(0.5f));
  series = _mm256_mul_ps(near, _mm256_fmadd_ps(near, series, _mm256_set1_ps(1.0f)));
  const __m256 half = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_srli_epi32(hash, 1)), _mm256_set1_ps(0.5f));
  const __m256 direct = log8(_mm256_mul_ps(half, _mm256_set1_ps(2.0f / 4294967296.0f)));
  const __m256 close = _mm256_cmp_ps(near, _mm256_set1_ps(0.01f), _CMP_LT_OQ);
  return _mm256_blendv_ps(_mm256_sub_ps(_mm256_setzero_ps(), direct), series, close);
}

inline double gumbel(uint32_t hash) {  // SGLang's formula, in its precision
  double x = std::log(double(hash) / 4294967295.0);
  x = std::min(std::max(x, -std::numeric_limits<double>::max()), -std::ldexp(1.0, -32));
  return -std::log(-x);
}

inline double exact_score(float p, uint32_t hash) { return double(std::log(p)) + gumbel(hash); }

float largest(const float* x, int64_t n) {
  __m256 top = _mm256_set1_ps(-INFINITY);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) top = _mm256_max_ps(_mm256_loadu_ps(x + i), top);
  float best = max8(top);
  for (; i < n; i++) best = x[i] > best ? x[i] : best;
  return best;
}

int64_t first_of(const float* x, int64_t n, float value) {
  for (int64_t i = 0; i < n; i++)
    if (x[i] == value) return i;
  return 0;
}

// Up to 8 entries from i on, padded with `fill`.
inline __m256 load_part(const float* x, int64_t i, int64_t n, float fill) {
  if (i + 8 <= n) return _mm256_loadu_ps(x + i);
  float part[8];
  for (int64_t j = 0; j < 8; j++) part[j] = i + j < n ? x[i + j] : fill;
  return _mm256_loadu_ps(part);
}

// Winner over all entries of softmax(logits / temperature), without computing the softmax: its sum shifts every score alike.
int64_t pick_among_all(const float* logits, int64_t n, float temperature, uint32_t state, std::vector<float>& ratio) {
  const float peak = largest(logits, n), inverse = 1.0f / temperature;
  const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256 top = _mm256_setzero_ps();
  ratio.resize(n + 8);
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 x = _mm256_sub_ps(load_part(logits, i, n, -INFINITY), _mm256_set1_ps(peak));
    const __m256 chance = exp8(_mm256_mul_ps(x, _mm256_set1_ps(inverse)));
    const __m256 wait = exponential8(hash8(state, _mm256_add_epi32(lanes, _mm256_set1_epi32(int32_t(i)))));
    const __m256 r = _mm256_div_ps(chance, wait);
    _mm256_storeu_ps(ratio.data() + i, r);
    top = _mm256_max_ps(r, top);
  }
  // Far wider than the estimate's error, also for a scaled logit of some hundred, whose rounding the exponential magnifies.
  const __m256 bar = _mm256_set1_ps(max8(top) * 0.999f);
  double best = -std::numeric_limits<double>::infinity();
  int64_t winner = 0;
  for (int64_t i = 0; i < n; i += 8) {
    if (_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(ratio.data() + i), bar, _CMP_GE_OQ)) == 0) continue;
    for (int64_t j = i; j < std::min(i + 8, n); j++) {
      const double score = (double(logits[j]) - double(peak)) / double(temperature) + gumbel(finish(mix(state, uint32_t(j))));
      if (ratio[j] >= _mm256_cvtss_f32(bar) && score > best) best = score, winner = j;
    }
  }
  return winner;
}

void softmax(const float* logits, int64_t n, float temperature, std::vector<float>& probs) {
  probs.resize(n + 8);
  const float peak = largest(logits, n), inverse = 1.0f / temperature;
  __m256 total = _mm256_setzero_ps();
  for (int64_t i = 0; i < n; i += 8) {
    const __m256 x = load_part(logits, i, n, -INFINITY);
    const __m256 dead = _mm256_cmp_ps(x, _mm256_set1_ps(-INFINITY), _CMP_EQ_OQ);
    const __m256 scaled = _mm256_mul_ps(_mm256_sub_ps(x, _mm256_set1_ps(peak)), _mm256_set1_ps(inverse));
    const __m256 e = _mm256_andnot_ps(dead, exp8(scaled));
    _mm256_storeu_ps(probs.data() + i, e);
    total = _mm256_add_ps(total, e);
  }
  const __m256 scale = _mm256_set1_ps(1.0f / sum8(total));
  for (int64_t i = 0; i < n; i += 8) _mm256_storeu_ps(probs.data() + i, _mm256_mul_ps(_mm256_loadu_ps(probs.data() + i), scale));
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

// One token per row of logits; the rows may be strided. top_k, top_p and min_p may be null together: no filter for any row.
void ttsc_sample(const float* logits, int64_t ldl, int64_t rows, int64_t n, const float* temperatures, const int64_t* seeds,
                 const int64_t* positions, const int32_t* top_k, const float* top_p, const float* min_p, int32_t* tokens) {
  Pool::instance().loop(rows, 1, [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> row;
    static thread_local std::vector<int32_t> kept;
    for (int64_t r = begin; r < end; r++) {
      const uint32_t state = row_state(uint64_t(seeds[r]), uint32_t(positions[r]));
      const float* x = logits + r * ldl;
      const bool filtered = top_k != nullptr && (top_k[r] < n || top_p[r] < 1.0f || min_p[r] > 0.0f);
      if (!filtered) {
        tokens[r] = int32_t(pick_among_all(x, n, temperatures[r], state, row));
      } else if (top_k[r] == 1) {  // greedy, as SGLang asks for it beside requests that are not
        tokens[r] = int32_t(first_of(x, n, largest(x, n)));
      } else {
        softmax(x, n, temperatures[r], row);
        tokens[r] = int32_t(pick_filtered(row.data(), n, state, top_k[r], top_p[r], min_p[r], kept));
      }
    }
  });
}

// The entry of the largest logit, the first one of several.
void ttsc_argmax(const float* logits, int64_t ldl, int64_t rows, int64_t n, int64_t* tokens) {
  Pool::instance().loop(rows, 1, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) tokens[r] = first_of(logits + r * ldl, n, largest(logits + r * ldl, n));
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

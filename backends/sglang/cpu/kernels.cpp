// The hot operations of decoding on a CPU with AVX2: linear layers, attention over the paged cache, and the small ones between.
//
// One property runs through the file: every output element is computed by one chain of operations whose order depends on that
// element alone, never on how many rows are in the batch, how a prompt was cut into chunks, or how threads shared the work. So a
// request gives bitwise the same result alone, in a batch, and on a cached prefix, which is what deterministic inference needs; a
// BLAS chooses its kernels by shape and does not give that.
//
// Compiled at run time by kernels.py with -O3 -march=native, without -ffast-math: reassociation would break the property.
#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "pool.cpp"  // a header in all but name: only .cpp files are packaged
#include "vectors.cpp"

#if !defined(__AVX2__) || !defined(__FMA__)
#error "needs AVX2 and FMA"
#endif

namespace {

constexpr int PANEL = 24;    // columns of one packed panel: three vectors, so that 4 rows fill 12 of 16 registers
constexpr int ROWS = 4;      // rows of one register tile
constexpr int DEPTH = 192;   // part of the inner dimension kept in L1 (24 * 192 floats = 18 kB)
constexpr int BLOCK = 64;    // rows of one task

// One tile of R rows over a slice of a panel; meanwhile LINES cache lines per eight steps of what is multiplied next are asked for.
// Without that, computing waits for memory at each new slice and then memory waits for computing.
template <int R, int LINES>
inline void tile(const float* x, int64_t ldx, const float* w, int64_t depth, float* acc_mem, const char* ahead) {
  __m256 acc[R][3];
  for (int r = 0; r < R; r++)
    for (int c = 0; c < 3; c++) acc[r][c] = _mm256_loadu_ps(acc_mem + r * PANEL + c * 8);
  const float* row[R];
  for (int r = 0; r < R; r++) row[r] = x + r * ldx;
  int64_t i = 0;
  for (; i + 8 <= depth; i += 8) {
#pragma GCC unroll 12
    for (int l = 0; l < LINES; l++) _mm_prefetch(ahead + l * 64, _MM_HINT_T0);
    ahead += LINES * 64;
#pragma GCC unroll 8
    for (int u = 0; u < 8; u++) {
      const float* at = w + u * PANEL;
      __m256 w0 = _mm256_loadu_ps(at), w1 = _mm256_loadu_ps(at + 8), w2 = _mm256_loadu_ps(at + 16);
      asm("" : "+x"(w0), "+x"(w1), "+x"(w2));  // keep them in registers: the compiler would load them again for each row
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) {
        const __m256 a = _mm256_broadcast_ss(row[r] + i + u);
        acc[r][0] = _mm256_fmadd_ps(a, w0, acc[r][0]);
        acc[r][1] = _mm256_fmadd_ps(a, w1, acc[r][1]);
        acc[r][2] = _mm256_fmadd_ps(a, w2, acc[r][2]);
      }
    }
    w += 8 * PANEL;
  }
  for (; i < depth; i++, w += PANEL) {
    const __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8), w2 = _mm256_loadu_ps(w + 16);
    for (int r = 0; r < R; r++) {
      const __m256 a = _mm256_broadcast_ss(row[r] + i);
      acc[r][0] = _mm256_fmadd_ps(a, w0, acc[r][0]);
      acc[r][1] = _mm256_fmadd_ps(a, w1, acc[r][1]);
      acc[r][2] = _mm256_fmadd_ps(a, w2, acc[r][2]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < 3; c++) _mm256_storeu_ps(acc_mem + r * PANEL + c * 8, acc[r][c]);
}

template <int LINES>
inline void slice(const float* x, int64_t ldx, int64_t rows, const float* w, int64_t depth, float* acc) {
  const char* ahead = reinterpret_cast<const char*>(w + depth * PANEL);  // panels follow each other in memory
  const char* end = ahead + depth * PANEL * 4;
  int64_t r = 0;
  for (; r + ROWS <= rows; r += ROWS, ahead += depth / 8 * LINES * 64) {
    if (LINES > 0 && ahead < end)
      tile<4, LINES>(x + r * ldx, ldx, w, depth, acc + r * PANEL, ahead);
    else
      tile<4, 0>(x + r * ldx, ldx, w, depth, acc + r * PANEL, ahead);
  }
  const float* rest = x + r * ldx;
  if (rows - r == 3) tile<3, LINES>(rest, ldx, w, depth, acc + r * PANEL, ahead);
  if (rows - r == 2) tile<2, LINES>(rest, ldx, w, depth, acc + r * PANEL, ahead);
  if (rows - r == 1) tile<1, LINES>(rest, ldx, w, depth, acc + r * PANEL, ahead);
}

void linear_block(const float* x, int64_t ldx, int64_t rows, int64_t k, const float* w, float* acc) {
  const int64_t tiles = (rows + ROWS - 1) / ROWS;
  for (int64_t d = 0; d < k; d += DEPTH) {
    const int64_t depth = std::min<int64_t>(DEPTH, k - d);
    const float* wd = w + d * PANEL;
    // Eight steps use twelve lines; the more tiles share a slice, the fewer each has to ask for. One row only streams.
    if (tiles >= 12) slice<1>(x + d, ldx, rows, wd, depth, acc);
    else if (tiles >= 6) slice<2>(x + d, ldx, rows, wd, depth, acc);
    else if (tiles >= 4) slice<3>(x + d, ldx, rows, wd, depth, acc);
    else if (tiles >= 2) slice<6>(x + d, ldx, rows, wd, depth, acc);
    else if (rows >= 2) slice<12>(x + d, ldx, rows, wd, depth, acc);
    else slice<0>(x + d, ldx, rows, wd, depth, acc);
  }
}

inline __m256 sums_of_8(const __m256* a) {  // lane i = sum of the lanes of a[i], in the same order for each i
  const __m256 p = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
  const __m256 q = _mm256_hadd_ps(_mm256_hadd_ps(a[4], a[5]), _mm256_hadd_ps(a[6], a[7]));
  return _mm256_add_ps(_mm256_permute2f128_ps(p, q, 0x20), _mm256_permute2f128_ps(p, q, 0x31));
}

// One token's query heads of one key-value head against the first `len` cached positions.
template <int V>  // head size in vectors
void attend(const float* q, int group, const float* kc, const float* vc, int64_t slot, const int32_t* slots, int64_t len,
            float scale, float* scores, int64_t stride, float* out) {
  for (int64_t j = 0; j < len; j += 8) {
    const float* k[8];
    for (int i = 0; i < 8; i++) k[i] = kc + int64_t(slots[std::min<int64_t>(j + i, len - 1)]) * slot;
    for (int g = 0; g < group; g++) {
      __m256 acc[8];
      for (int i = 0; i < 8; i++) acc[i] = _mm256_setzero_ps();
      for (int v = 0; v < V; v++) {
        const __m256 qv = _mm256_loadu_ps(q + (g * V + v) * 8);
        for (int i = 0; i < 8; i++) acc[i] = _mm256_fmadd_ps(qv, _mm256_loadu_ps(k[i] + v * 8), acc[i]);
      }
      _mm256_storeu_ps(scores + g * stride + j, _mm256_mul_ps(sums_of_8(acc), _mm256_set1_ps(scale)));
    }
  }
  const int64_t padded = (len + 7) / 8 * 8;
  float inverse[64];
  for (int g = 0; g < group; g++) {
    float* s = scores + g * stride;
    for (int64_t j = len; j < padded; j++) s[j] = -INFINITY;
    __m256 top = _mm256_loadu_ps(s);
    for (int64_t j = 8; j < padded; j += 8) top = _mm256_max_ps(top, _mm256_loadu_ps(s + j));
    const __m256 peak = _mm256_set1_ps(max8(top));
    __m256 total = _mm256_setzero_ps();
    for (int64_t j = 0; j < padded; j += 8) {
      const __m256 x = _mm256_loadu_ps(s + j);
      const __m256 dead = _mm256_cmp_ps(x, _mm256_set1_ps(-INFINITY), _CMP_EQ_OQ);
      const __m256 e = _mm256_andnot_ps(dead, exp8(_mm256_sub_ps(x, peak)));
      _mm256_storeu_ps(s + j, e);
      total = _mm256_add_ps(total, e);
    }
    inverse[g] = 1.0f / sum8(total);
    std::memset(out + g * V * 8, 0, V * 8 * sizeof(float));
  }
  for (int64_t j = 0; j < len; j += 32) {
    const int64_t end = std::min<int64_t>(j + 32, len);
    for (int g = 0; g < group; g++) {
      float* o = out + g * V * 8;
      for (int half = 0; half < V; half += 8) {
        const int width = std::min(8, V - half);
        __m256 acc[8];
        for (int v = 0; v < width; v++) acc[v] = _mm256_loadu_ps(o + (half + v) * 8);
        for (int64_t i = j; i < end; i++) {
          const float* value = vc + int64_t(slots[i]) * slot + half * 8;
          const __m256 p = _mm256_broadcast_ss(scores + g * stride + i);
          for (int v = 0; v < width; v++) acc[v] = _mm256_fmadd_ps(p, _mm256_loadu_ps(value + v * 8), acc[v]);
        }
        for (int v = 0; v < width; v++) _mm256_storeu_ps(o + (half + v) * 8, acc[v]);
      }
    }
  }
  for (int g = 0; g < group; g++)
    for (int v = 0; v < V; v++) {
      float* o = out + (g * V + v) * 8;
      _mm256_storeu_ps(o, _mm256_mul_ps(_mm256_loadu_ps(o), _mm256_set1_ps(inverse[g])));
    }
}

}  // namespace

extern "C" {

void ttsc_threads(int64_t threads) { Pool::instance().start(int(threads)); }

// Weights [n, k] -> panels of PANEL columns, each [k, PANEL], padded with zeros.
void ttsc_pack(const float* w, int64_t n, int64_t k, float* packed) {
  const int64_t panels = (n + PANEL - 1) / PANEL;
  Pool::instance().loop(panels, 8, [=](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++)
      for (int64_t c = 0; c < PANEL; c++) {
        const int64_t row = p * PANEL + c;
        float* to = packed + p * k * PANEL + c;
        for (int64_t i = 0; i < k; i++) to[i * PANEL] = row < n ? w[row * k + i] : 0.0f;
      }
  });
}

// y[m, n] = x[m, k] w^T + bias
void ttsc_linear(const float* x, int64_t ldx, int64_t m, int64_t k, const float* packed, int64_t n, const float* bias, float* y) {
  const int64_t panels = (n + PANEL - 1) / PANEL, blocks = (m + BLOCK - 1) / BLOCK;
  Pool& pool = Pool::instance();
  pool.loop(blocks * panels, panels * blocks / (8 * pool.threads()), [=](int64_t begin, int64_t end) {
    alignas(64) float acc[BLOCK * PANEL];
    for (int64_t task = begin; task < end; task++) {
      const int64_t p = task % panels, column = p * PANEL, columns = std::min<int64_t>(PANEL, n - column);
      const int64_t row = task / panels * BLOCK, rows = std::min<int64_t>(BLOCK, m - row);
      float first[PANEL] = {0};
      if (bias != nullptr) std::memcpy(first, bias + column, columns * sizeof(float));
      for (int64_t r = 0; r < rows; r++) std::memcpy(acc + r * PANEL, first, sizeof(first));
      linear_block(x + row * ldx, ldx, rows, k, packed + p * k * PANEL, acc);
      for (int64_t r = 0; r < rows; r++) std::memcpy(y + (row + r) * n + column, acc + r * PANEL, columns * sizeof(float));
    }
  });
}

// Query token t belongs to request row requests[t] and sees the first lengths[t] positions of it.
void ttsc_attention(const float* q, int64_t ldq, const float* kc, const float* vc, const int32_t* req_to_token, int64_t ldr,
                    const int64_t* requests, const int64_t* lengths, int64_t tokens, int64_t q_heads, int64_t kv_heads,
                    int64_t head, float scale, float* out) {
  const int group = int(q_heads / kv_heads);
  int64_t longest = 8;
  for (int64_t t = 0; t < tokens; t++) longest = std::max(longest, lengths[t]);
  const int64_t stride = (longest + 15) / 8 * 8;
  // Head by head, so that sequences that share a prefix find its keys and values still in the cache.
  const int64_t chunk = tokens * kv_heads / (8 * Pool::instance().threads());
  Pool::instance().loop(tokens * kv_heads, chunk, [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> scores;
    if (int64_t(scores.size()) < stride * group) scores.resize(stride * group * 2);
    for (int64_t task = begin; task < end; task++) {
      const int64_t h = task / tokens, t = task % tokens;
      const float* qt = q + t * ldq + h * group * head;
      float* ot = out + (t * q_heads + h * group) * head;
      const int32_t* slots = req_to_token + requests[t] * ldr;
      const float *kh = kc + h * head, *vh = vc + h * head;
      const int64_t slot = kv_heads * head;
      switch (head) {
        case 32: attend<4>(qt, group, kh, vh, slot, slots, lengths[t], scale, scores.data(), stride, ot); break;
        case 64: attend<8>(qt, group, kh, vh, slot, slots, lengths[t], scale, scores.data(), stride, ot); break;
        case 80: attend<10>(qt, group, kh, vh, slot, slots, lengths[t], scale, scores.data(), stride, ot); break;
        case 96: attend<12>(qt, group, kh, vh, slot, slots, lengths[t], scale, scores.data(), stride, ot); break;
        case 128: attend<16>(qt, group, kh, vh, slot, slots, lengths[t], scale, scores.data(), stride, ot); break;
        default: attend<32>(qt, group, kh, vh, slot, slots, lengths[t], scale, scores.data(), stride, ot); break;
      }
    }
  });
}

// Copies the new keys and values of each token to its slot of the cache.
void ttsc_store(const float* k, int64_t ldk, const float* v, int64_t ldv, const int64_t* slots, int64_t tokens, int64_t width,
                float* kc, float* vc) {
  for (int64_t t = 0; t < tokens; t++) {
    std::memcpy(kc + slots[t] * width, k + t * ldk, width * sizeof(float));
    std::memcpy(vc + slots[t] * width, v + t * ldv, width * sizeof(float));
  }
}

// residual += x (if there is one); out = rms_norm(residual or x) * weight
void ttsc_rms_norm(const float* x, float* residual, const float* weight, float eps, int64_t rows, int64_t n, float* out) {
  for (int64_t r = 0; r < rows; r++) {
    const float* in = x + r * n;
    float* o = out + r * n;
    if (residual != nullptr) {
      float* s = residual + r * n;
      for (int64_t i = 0; i < n; i++) s[i] += in[i];
      in = s;
    }
    __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m256 u = _mm256_loadu_ps(in + i), v = _mm256_loadu_ps(in + i + 8);
      a = _mm256_fmadd_ps(u, u, a);
      b = _mm256_fmadd_ps(v, v, b);
    }
    float total = sum8(_mm256_add_ps(a, b));
    for (; i < n; i++) total += in[i] * in[i];
    const float scale = 1.0f / std::sqrt(total / float(n) + eps);
    for (i = 0; i < n; i++) o[i] = in[i] * scale * weight[i];
  }
}

// Rotates the first `rotary` values of each head in place; halves apart (NeoX style). cache[position] = cosines, then sines.
void ttsc_rope(float* x, int64_t ldx, int64_t tokens, int64_t heads, int64_t head, const int64_t* positions, const float* cache,
               int64_t rotary) {
  const int64_t half = rotary / 2;
  for (int64_t t = 0; t < tokens; t++) {
    const float *cosine = cache + positions[t] * rotary, *sine = cosine + half;
    for (int64_t h = 0; h < heads; h++) {
      float *a = x + t * ldx + h * head, *b = a + half;
      for (int64_t i = 0; i < half; i++) {
        const float p = a[i], r = b[i];
        a[i] = p * cosine[i] - r * sine[i];
        b[i] = r * cosine[i] + p * sine[i];
      }
    }
  }
}

// out[r, i] = silu(x[r, i]) * x[r, n + i]; n is a multiple of 8
void ttsc_silu_mul(const float* x, int64_t rows, int64_t n, float* out) {
  Pool::instance().loop(rows, 8, [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const float *gate = x + r * 2 * n, *up = gate + n;
      for (int64_t i = 0; i < n; i += 8) {
        const __m256 g = _mm256_loadu_ps(gate + i);
        const __m256 bottom = _mm256_add_ps(_mm256_set1_ps(1.0f), exp8(_mm256_sub_ps(_mm256_setzero_ps(), g)));
        _mm256_storeu_ps(out + r * n + i, _mm256_mul_ps(_mm256_div_ps(g, bottom), _mm256_loadu_ps(up + i)));
      }
    }
  });
}
}

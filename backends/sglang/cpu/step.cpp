// All layers of a plain Llama-shaped model in one call: the operations of kernels.cpp in the order in which SGLang's layers call them,
// without Python between them. With one sequence, Python took as long as the multiplications.
//
// Every operation is the one the layers call singly, so a token's result does not depend on which way it took.
#include <algorithm>
#include <cstdint>

#include "pool.cpp"  // a header in all but name: only .cpp files are packaged

extern "C" {

void ttsc_linear(const float* x, int64_t ldx, int64_t m, int64_t k, const float* packed, int64_t n, const float* bias, float* y);
void ttsc_attention(const float* q, int64_t ldq, const float* kc, const float* vc, const int32_t* req_to_token, int64_t ldr,
                    const int64_t* requests, const int64_t* lengths, int64_t tokens, int64_t q_heads, int64_t kv_heads,
                    int64_t head, float scale, float* out);
void ttsc_store(const float* k, int64_t ldk, const float* v, int64_t ldv, const int64_t* slots, int64_t tokens, int64_t width,
                float* kc, float* vc);
void ttsc_rms_norm(const float* x, float* residual, const float* weight, float eps, int64_t rows, int64_t n, float* out);
void ttsc_rope(float* x, int64_t ldx, int64_t tokens, int64_t heads, int64_t head, const int64_t* positions, const float* cache,
               int64_t rotary);
void ttsc_silu_mul(const float* x, int64_t rows, int64_t n, float* out);

struct Layer {  // pointers of one layer, in the order of step.py
  const float *norm, *qkv, *qkv_bias, *o, *o_bias, *mlp_norm, *gate_up, *down;
  float *keys, *values;
};

struct Shape {
  int64_t layers, hidden, inner, q_heads, kv_heads, head, rotary;
  double eps, scale;
};

// x: embeddings [tokens, hidden] on entry; out: final norm of the last layer's result. scratch: ttsc_step_scratch floats.
void ttsc_step(const Shape* s, const Layer* layers, const float* final_norm, const float* cos_sin, const int64_t* positions,
               const int64_t* slots, const int32_t* req_to_token, int64_t ldr, const int64_t* requests, const int64_t* lengths,
               int64_t tokens, float* x, float* scratch, float* out) {
  const int64_t q = s->q_heads * s->head, kv = s->kv_heads * s->head, qkv = q + 2 * kv;
  float* normed = scratch;                       // [tokens, max(hidden, q)]: norm, then attention
  float* wide = normed + tokens * std::max(s->hidden, q);  // [tokens, max(qkv, 2 inner)]
  float* act = wide + tokens * std::max(qkv, 2 * s->inner);  // [tokens, max(inner, hidden)]: activation
  float* delta = act + tokens * s->inner;        // [tokens, hidden]: what a block adds to the residual x
  Pool& pool = Pool::instance();
  const float eps = float(s->eps);
  const auto norm = [&](const float* add, const float* weight, float* to) {
    pool.loop(tokens, 8, [&](int64_t begin, int64_t end) {
      const int64_t at = begin * s->hidden;
      if (add == nullptr)
        ttsc_rms_norm(x + at, nullptr, weight, eps, end - begin, s->hidden, to + at);
      else
        ttsc_rms_norm(add + at, x + at, weight, eps, end - begin, s->hidden, to + at);
    });
  };
  for (int64_t i = 0; i < s->layers; i++) {
    const Layer& l = layers[i];
    norm(i == 0 ? nullptr : delta, l.norm, normed);
    ttsc_linear(normed, s->hidden, tokens, s->hidden, l.qkv, qkv, l.qkv_bias, wide);
    pool.loop(tokens, 8, [&](int64_t begin, int64_t end) {
      float* row = wide + begin * qkv;
      ttsc_rope(row, qkv, end - begin, s->q_heads, s->head, positions + begin, cos_sin, s->rotary);
      ttsc_rope(row + q, qkv, end - begin, s->kv_heads, s->head, positions + begin, cos_sin, s->rotary);
      ttsc_store(row + q, qkv, row + q + kv, qkv, slots + begin, end - begin, kv, l.keys, l.values);
    });
    ttsc_attention(wide, qkv, l.keys, l.values, req_to_token, ldr, requests, lengths, tokens, s->q_heads, s->kv_heads, s->head,
                   float(s->scale), normed);
    ttsc_linear(normed, q, tokens, q, l.o, s->hidden, l.o_bias, delta);
    norm(delta, l.mlp_norm, normed);
    ttsc_linear(normed, s->hidden, tokens, s->hidden, l.gate_up, 2 * s->inner, nullptr, wide);
    ttsc_silu_mul(wide, tokens, s->inner, act);
    ttsc_linear(act, s->inner, tokens, s->inner, l.down, s->hidden, nullptr, delta);
  }
  norm(delta, final_norm, out);
}
}

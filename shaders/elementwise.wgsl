// One output for each element of `a`: out[i] = f(a[i], b[j]).
// `b` is as large as `a` (same), one per column, one per row, or a single number.
// One thread takes every (number of threads)-th element. Writes `out`.

override F: u32 = 0u;
const ADD = 0u; // a + alpha b
const MUL = 1u; // alpha a b
const DIV = 2u; // a / b, 0 where b is 0
const SCALE = 3u; // alpha a
const GELU = 4u;
const GELU_VJP = 5u; // gelu'(a) b
const RELU = 6u;
const RELU_VJP = 7u; // b where a > 0
const ABS = 8u;
const NONZERO = 9u; // 1 where a is not 0
const FILL = 10u; // alpha

const SAME = 0u;
const PER_COLUMN = 1u;
const PER_ROW = 2u;
const SINGLE = 3u;

struct Params {
  n: u32, // elements
  columns: u32, // length of a row
  broadcast: u32,
  alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(1) var<storage, read> a4: array<vec4f>;
@group(0) @binding(2) var<storage, read> b4: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out4: array<vec4f>;

fn f(x: f32, y: f32) -> f32 {
  switch F {
    case ADD: { return fma(params.alpha, y, x); }
    case MUL: { return params.alpha * x * y; }
    case DIV: { return select(x / y, 0.0, y == 0.0); }
    case SCALE: { return params.alpha * x; }
    case GELU: { return gelu(x); }
    case GELU_VJP: { return gelu_slope(x) * y; }
    case RELU: { return select(select(x, 0.0, x <= 0.0), x, is_nan(x)); }
    case RELU_VJP: { return select(0.0, y, x > 0.0); }
    case ABS: { return abs(x); }
    case NONZERO: { return select(0.0, 1.0, x != 0.0); }
    default: { return params.alpha; }
  }
}

@compute @workgroup_size(64)
fn elementwise(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    var j = i;
    switch params.broadcast {
      case PER_COLUMN: { j = i % params.columns; }
      case PER_ROW: { j = i / params.columns; }
      case SINGLE: { j = 0u; }
      default: {}
    }
    out[i] = f(a[i], b[j]);
  }
}

// Four elements of a row at a time, where `n` and `columns` are multiples of 4; b not
// one per row.
@compute @workgroup_size(64)
fn elementwise_by_four(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  for (var i = id.x; i < params.n / 4u; i += groups.x * 64u) {
    let x = a4[i];
    var y = vec4f();
    switch params.broadcast {
      case PER_COLUMN: { y = b4[i % (params.columns / 4u)]; }
      case SINGLE: { y = vec4f(b4[0].x); }
      default: { y = b4[i]; }
    }
    out4[i] = vec4f(f(x.x, y.x), f(x.y, y.y), f(x.z, y.z), f(x.w, y.w));
  }
}

// Functions of one number, to float32 accuracy on every driver.

// Compilers may take it for granted that there is no NaN: ask the bits.
fn is_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}

// exp(x) by range reduction: x = n ln2 + r, |r| <= ln2/2, exp(r) by its Taylor
// polynomial to degree 7 (remainder below 2^-26), times 2^n. Drivers may
// approximate the built-in by exp2(x * log2e), which loses digits as |x| grows.
fn exp_f32(x: f32) -> f32 {
  let clamped = clamp(x, -104.0, 89.0);
  let n = i32(round(clamped * 1.4426950408889634)); // log2(e)
  // ln2 in two parts: 45426 / 2^16, so that n * part is exact, and the rest. In
  // integers, as compilers may merge n a + n b into n (a + b), which is not.
  let upper = fma(f32(n * 45426), -0.0000152587890625, clamped); // 2^-16
  let r = fma(f32(n), -1.42860682030941723e-6, upper);
  var p = 1.9841269841e-4; // 1/7!
  p = fma(p, r, 1.3888888889e-3);
  p = fma(p, r, 8.3333333333e-3);
  p = fma(p, r, 4.1666666667e-2);
  p = fma(p, r, 1.6666666667e-1);
  p = fma(p, r, 0.5);
  p = fma(p, r, 1.0);
  p = fma(p, r, 1.0);
  // 2^n in two steps, so that results below the normal range round to denormals or 0.
  let half_n = n / 2;
  let rest_n = n - half_n;
  let y = p * bitcast<f32>(u32(half_n + 127) << 23u) * bitcast<f32>(u32(rest_n + 127) << 23u);
  return select(y, x, is_nan(x)); // clamp may drop a NaN
}

// log(x) for x from the smallest normal number on; infinity and NaN stay what they are.
// x = 2^n m with m in [sqrt(1/2), sqrt(2)), log(m) = 2 artanh(u), u = (m - 1) / (m + 1).
fn log_f32(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  var n = i32(bits >> 23u) - 127;
  var m = bitcast<f32>((bits & 0x007fffffu) | 0x3f800000u);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    n += 1;
  }
  let u = (m - 1.0) / (m + 1.0);
  let w = u * u;
  var p = 0.15384615; // 2/13, and so on down to 2/3
  p = fma(p, w, 0.18181818);
  p = fma(p, w, 0.22222222);
  p = fma(p, w, 0.2857142857);
  p = fma(p, w, 0.4);
  p = fma(p, w, 0.6666666667);
  let log_m = fma(u * w, p, 2.0 * u);
  let y = fma(f32(n), 0.693145751953125, fma(f32(n), 1.42860682030941723e-6, log_m));
  return select(y, x, bits >= 0x7f800000u);
}

const GELU_C = 0.7978845608028654; // sqrt(2 / pi)
const GELU_A = 0.044715; // Hendrycks & Gimpel 2016, the tanh form

// exp(-2u), with u the argument of the tanh.
fn gelu_exp(x: f32) -> f32 {
  return exp_f32(-2.0 * GELU_C * fma(GELU_A * x * x, x, x));
}

// x/2 (1 + tanh(u)) = x / (1 + exp(-2u)), which does not cancel where tanh is near -1.
fn gelu(x: f32) -> f32 {
  return x / (1.0 + gelu_exp(x));
}

// d gelu(x) / dx = s + 2 x s^2 e du/dx, e = exp(-2u), s = 1 / (1 + e).
fn gelu_slope(x: f32) -> f32 {
  let e = min(gelu_exp(x), 1e38); // finite, as s^2 is 0 there
  let s = 1.0 / (1.0 + e);
  let du = GELU_C * fma(3.0 * GELU_A * x, x, 1.0);
  return fma(2.0 * x * du * s, s * e, s);
}

// Moving and replacing parts of tensors. Each kernel writes `out`, n elements; one
// thread takes every (number of threads)-th.

struct Params {
  n: u32, // elements of out
  start: u32, // slice, pad: first element of the part; overwrite: of the block
  count: u32, // pad: elements of the part; overwrite: of the block; gather_rows: width
  d1: u32, // overwrite: the block is [d0, d1, d2]
  d2: u32,
  first0: u32, // overwrite: the region within the block
  count0: u32,
  first1: u32,
  count1: u32,
  first2: u32,
  count2: u32,
  value: f32, // overwrite: the constant; pick: unused
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// out[i] = x[start + i].
@compute @workgroup_size(64)
fn slice(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    out[i] = x[params.start + i];
  }
}

// out[start + i] = x[i]; n elements of x.
@compute @workgroup_size(64)
fn copy_into(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    out[params.start + i] = x[i];
  }
}

// out = x at start .. start + count, zeros elsewhere: the transpose of slice.
@compute @workgroup_size(64)
fn pad(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    let inside = i >= params.start && i - params.start < params.count;
    var value = 0.0;
    if (inside) {
      value = x[i - params.start];
    }
    out[i] = value;
  }
}

// out[r] = x[indices[r]], rows of width count.
@compute @workgroup_size(64)
fn gather_rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    out[i] = x[indices[i / params.count] * params.count + i % params.count];
  }
}

// out[r] = the sum of x[j] over the j with indices[j] = r: the transpose of
// gather_rows; first0 = number of indices.
@compute @workgroup_size(64)
fn scatter_rows(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    let r = i / params.count;
    var sum = 0.0;
    for (var j = 0u; j < params.first0; j++) {
      if (indices[j] == r) {
        sum += x[j * params.count + i % params.count];
      }
    }
    out[i] = sum;
  }
}

// out = x, but `value` in a region of the block.
@compute @workgroup_size(64)
fn overwrite(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < params.n; i += groups.x * 64u) {
    var value = x[i];
    if (i >= params.start && i - params.start < params.count) {
      let j = i - params.start;
      let i0 = j / (params.d1 * params.d2);
      let i1 = (j / params.d2) % params.d1;
      let i2 = j % params.d2;
      // Unsigned differences: an index below the first wraps to a large number.
      if (i0 - params.first0 < params.count0 && i1 - params.first1 < params.count1 &&
        i2 - params.first2 < params.count2) {
        value = params.value;
      }
    }
    out[i] = value;
  }
}

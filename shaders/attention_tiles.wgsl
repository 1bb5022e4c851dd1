// The sums of attention.wgsl, four positions at a time: a vec4 is loaded once for
// four outputs. For heads whose width is a multiple of 4 (pair_dot) or 16 (sums).
// Joined after attention.wgsl; an output is summed in the same order whatever stands
// beside it.
//
// tiles[i] = (first row, rows up to 4, first row of the sequence, its length T).

@group(0) @binding(2) var<storage, read> a4: array<vec4f>;
@group(0) @binding(3) var<storage, read> b4: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out4: array<vec4f>;
@group(0) @binding(5) var<storage, read> tiles: array<vec4u>;

// First pair of the tile's sequence.
fn pairs_of(tile: vec4u) -> u32 {
  return rows[tile.x].z - (tile.x - tile.z) * tile.w;
}

// pair_dot for four queries and four keys a thread.
@compute @workgroup_size(64)
fn pair_dot_tiles(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let key_tiles = (params.longest + 3u) / 4u;
  let per_tile = key_tiles * params.n_heads;
  let width = params.n_heads * params.d_head / 4u; // vec4s to a row
  for (var i = id.x; i < params.n_tiles * per_tile; i += groups.x * 64u) {
    let tile = tiles[i / per_tile];
    let k = 4u * ((i % per_tile) / params.n_heads);
    let h = i % params.n_heads;
    if (k >= tile.w) {
      continue;
    }
    let q = tile.x - tile.z; // position of the first query
    var dots = mat4x4f(); // dots[query][key]
    if (params.causal == 0u || k <= q + 3u) {
      let last_q = tile.x + tile.y - 1u;
      let last_k = tile.z + tile.w - 1u;
      let head = h * params.d_head / 4u;
      let q0 = tile.x * width + head;
      let q1 = min(tile.x + 1u, last_q) * width + head;
      let q2 = min(tile.x + 2u, last_q) * width + head;
      let q3 = min(tile.x + 3u, last_q) * width + head;
      let k0 = (tile.z + k) * width + head;
      let k1 = min(tile.z + k + 1u, last_k) * width + head;
      let k2 = min(tile.z + k + 2u, last_k) * width + head;
      let k3 = min(tile.z + k + 3u, last_k) * width + head;
      for (var c = 0u; c < params.d_head / 4u; c++) {
        let x0 = a4[q0 + c];
        let x1 = a4[q1 + c];
        let x2 = a4[q2 + c];
        let x3 = a4[q3 + c];
        let y0 = b4[k0 + c];
        let y1 = b4[k1 + c];
        let y2 = b4[k2 + c];
        let y3 = b4[k3 + c];
        dots[0] += vec4f(dot(x0, y0), dot(x0, y1), dot(x0, y2), dot(x0, y3));
        dots[1] += vec4f(dot(x1, y0), dot(x1, y1), dot(x1, y2), dot(x1, y3));
        dots[2] += vec4f(dot(x2, y0), dot(x2, y1), dot(x2, y2), dot(x2, y3));
        dots[3] += vec4f(dot(x3, y0), dot(x3, y1), dot(x3, y2), dot(x3, y3));
      }
    }
    let pair = pairs_of(tile) + q * tile.w + k;
    store_dots(pair, vec3u(tile.y, tile.w - k, h), vec2u(q, k), dots[0], 0u);
    store_dots(pair, vec3u(tile.y, tile.w - k, h), vec2u(q, k), dots[1], 1u);
    store_dots(pair, vec3u(tile.y, tile.w - k, h), vec2u(q, k), dots[2], 2u);
    store_dots(pair, vec3u(tile.y, tile.w - k, h), vec2u(q, k), dots[3], 3u);
  }
}

// Writes one query's four dots. inside = (queries, keys that exist, head); at = (q, k)
// of the tile's first pair.
fn store_dots(pair: u32, inside: vec3u, at: vec2u, dots: vec4f, query: u32) {
  if (query >= inside.x) {
    return;
  }
  let length = at.y + inside.y;
  let start = (pair + query * length) * params.n_heads + inside.z;
  let q = at.x + query;
  for (var key = 0u; key < min(inside.y, 4u); key++) {
    let absent = params.causal == 1u && at.y + key > q;
    out[start + key * params.n_heads] = select(dots[key], params.masked, absent);
  }
}

// Sixteen channels of one row of b.
fn channels(at: u32) -> mat4x4f {
  return mat4x4f(b4[at], b4[at + 1u], b4[at + 2u], b4[at + 3u]);
}

fn store_channels(row: u32, block: u32, sum: mat4x4f) {
  let at = row * params.n_heads * params.d_head / 4u + 4u * block;
  out4[at] = sum[0];
  out4[at + 1u] = sum[1];
  out4[at + 2u] = sum[2];
  out4[at + 3u] = sum[3];
}

// For four rows and sixteen channels a thread, with the rows as queries and the others as
// keys, or the other way round: out[row] = sum over others of weight * b[other].
fn sum_tiles(first: u32, threads: u32, over_keys: bool) {
  let blocks = params.n_heads * params.d_head / 16u; // of channels, of all heads
  for (var i = first; i < params.n_tiles * blocks; i += threads) {
    let tile = tiles[i / blocks];
    let block = i % blocks;
    // Positions of the four rows; those past the last repeat it and are not stored.
    let row = tile.x - tile.z + min(vec4u(0u, 1u, 2u, 3u), vec4u(tile.y - 1u));
    // From the weights of a query to the next one's, and of a key.
    let pitch = vec2u(tile.w * params.n_heads, params.n_heads);
    let from_other = select(pitch.x, pitch.y, over_keys);
    let start = pairs_of(tile) * params.n_heads + 16u * block / params.d_head;
    var at = start + row * select(pitch.y, pitch.x, over_keys);
    var others = vec2u(0u, tile.w); // first, end
    if (params.causal == 1u && over_keys) {
      others.y = row.w + 1u;
    } else if (params.causal == 1u) {
      others.x = row.x;
    }
    at += others.x * from_other;
    var sum0 = mat4x4f();
    var sum1 = mat4x4f();
    var sum2 = mat4x4f();
    var sum3 = mat4x4f();
    for (var other = others.x; other < others.y; other++) {
      var w = vec4f(a[at.x], a[at.y], a[at.z], a[at.w]);
      if (params.causal == 1u) { // no weight where the key comes after the query
        w = select(w, vec4f(), select(row > vec4u(other), vec4u(other) > row, over_keys));
      }
      let x = channels(((tile.z + other) * blocks + block) * 4u);
      sum0 += w.x * x;
      sum1 += w.y * x;
      sum2 += w.z * x;
      sum3 += w.w * x;
      at += from_other;
    }
    store_channels(tile.x, block, sum0);
    if (tile.y > 1u) {
      store_channels(tile.x + 1u, block, sum1);
    }
    if (tile.y > 2u) {
      store_channels(tile.x + 2u, block, sum2);
    }
    if (tile.y > 3u) {
      store_channels(tile.x + 3u, block, sum3);
    }
  }
}

@compute @workgroup_size(64)
fn sum_over_keys_tiles(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  sum_tiles(id.x, groups.x * 64u, true);
}

@compute @workgroup_size(64)
fn sum_over_queries_tiles(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  sum_tiles(id.x, groups.x * 64u, false);
}

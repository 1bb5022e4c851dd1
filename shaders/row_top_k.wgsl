// The largest and smallest entries of parts of rows, as candidates: thread p of a row
// looks after every P-th of its entries, in ascending order, and keeps the `largest`
// best from above and the `smallest` best from below in heaps of its own, their worst
// entry on top. Most entries only meet one comparison. The host merges and sorts the
// heaps of a row.
//
// R rows, W width, P threads a row. x: from `start` on, [R, W]. Writes `out`, from
// `out_start` on: [R, P, largest + smallest, 2], the entry's index within its row and its
// bits; index 0xffffffff where a heap has fewer entries.

override LANES: u32 = 8u;
override K: u32 = 8u; // room in each heap, at least `largest` and `smallest`

struct Params {
  start: u32,
  rows: u32, // R
  width: u32, // W
  parts: u32, // P
  largest: u32,
  smallest: u32,
  out_start: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // floats, by their bits
@group(0) @binding(2) var<storage, read_write> out: array<u32>;

const INFINITY_BITS = 0x7f800000u;
const ABSENT = 0xffffffffu;
const WORST = -0x7fffffff; // below -infinity

// Two heaps for each lane, that from above before that from below: entry j of heap h is at
// (h K + j) LANES + lane. No lane looks at another's.
var<workgroup> keys: array<i32, 2u * K * LANES>;
var<workgroup> places: array<u32, 2u * K * LANES>;

// Puts an entry that beats the worst one in its place; gives back the key that is the
// worst then. Of equal keys the later place is the worse.
fn replace_worst(top: u32, count: u32, key: i32, place: u32) -> i32 {
  var j = 0u;
  while (2u * j + 1u < count) {
    var child = 2u * j + 1u;
    var at = top + child * LANES;
    if (child + 1u < count) {
      let other = at + LANES;
      if (is_worse(keys[other], places[other], keys[at], places[at])) {
        child += 1u;
        at = other;
      }
    }
    if (!is_worse(keys[at], places[at], key, place)) {
      break;
    }
    keys[top + j * LANES] = keys[at];
    places[top + j * LANES] = places[at];
    j = child;
  }
  keys[top + j * LANES] = key;
  places[top + j * LANES] = place;
  return keys[top];
}

fn is_worse(key_a: i32, place_a: u32, key_b: i32, place_b: u32) -> bool {
  return key_a < key_b || (key_a == key_b && place_a > place_b);
}

@compute @workgroup_size(LANES)
fn row_top_k(
  @builtin(global_invocation_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let high = lane;
  let low = K * LANES + lane;
  for (var i = id.x; i < params.rows * params.parts; i += groups.x * LANES) {
    let row = i / params.parts;
    let first = params.start + row * params.width;
    for (var at = lane; at < 2u * K * LANES; at += LANES) {
      keys[at] = WORST;
      places[at] = ABSENT;
    }
    // Nothing gets into a heap without room.
    var to_beat_high = select(0x7fffffff, WORST, params.largest > 0u);
    var to_beat_low = select(0x7fffffff, WORST, params.smallest > 0u);
    var c = i % params.parts;
    loop {
      // On to the next entry that gets into a heap, in a loop that does little else: a CPU
      // rasteriser runs through what follows whether or not a lane takes part.
      var from_above = WORST;
      var from_below = WORST;
      while (c < params.width && from_above <= to_beat_high && from_below <= to_beat_low) {
        // Integers in the order of the floats; -0 equals 0, and a NaN comes first from
        // either end, level with an infinity.
        let bits = x[first + c];
        let size = bits & 0x7fffffffu;
        let magnitude = i32(min(size, INFINITY_BITS));
        let is_nan = size > INFINITY_BITS;
        from_above = select(magnitude, -magnitude, bits != size && !is_nan);
        from_below = select(-from_above, magnitude, is_nan);
        c += params.parts;
      }
      let gets_in_high = from_above > to_beat_high;
      let gets_in_low = from_below > to_beat_low;
      if (!gets_in_high && !gets_in_low) {
        break;
      }
      if (gets_in_high) {
        to_beat_high = replace_worst(high, params.largest, from_above, c - params.parts);
      }
      if (gets_in_low) {
        to_beat_low = replace_worst(low, params.smallest, from_below, c - params.parts);
      }
    }
    var at = params.out_start + i * (params.largest + params.smallest) * 2u;
    for (var j = 0u; j < params.largest + params.smallest; j++) {
      let slot = select(low + (j - params.largest) * LANES, high + j * LANES, j < params.largest);
      let place = places[slot];
      out[at] = place;
      out[at + 1u] = x[first + select(place, 0u, place == ABSENT)];
      at += 2u;
    }
  }
}

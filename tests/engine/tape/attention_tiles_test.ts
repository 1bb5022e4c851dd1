import { testAttention } from "./attention_kernels.ts";

// Scores by tiles, sums by one position
testAttention(12);

// Scores and sums by tiles
testAttention(16);
testAttention(32);

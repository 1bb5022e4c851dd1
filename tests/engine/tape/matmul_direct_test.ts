import { testMatmul } from "./matmul_kernels.ts";

testMatmul("direct");

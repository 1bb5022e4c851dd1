import { testMatmul } from "./matmul_kernels.ts";

testMatmul("texture");
testMatmul("packed texture");

import { testGoldenCases } from "./golden_case_tests.ts";

testGoldenCases("tiny");

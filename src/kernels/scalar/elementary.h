// exp in f32 as a fixed sequence of IEEE operations; the vector tiers repeat it lane by lane.
#pragma once

namespace tern::kernels {

// 0 below -87.33654 (results would be subnormal), infinity above 88.72283; about 1 ulp in between.
float fixed_expf(float x);

}  // namespace tern::kernels

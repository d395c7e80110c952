// What the C++ books read and tell: see LEVELS_DTYPE in benchmarks/inputs.py.
#pragma once
#include <cstdint>

struct Level {
    int32_t message;
    int32_t side;      // 1 bid, 2 ask, 0 clears both
    int64_t ticks;
    int64_t lots;      // 0 deletes
};

struct Facts {
    int64_t bid_ticks, ask_ticks, bid_levels, ask_levels;
};

// A book of two std::map, the usual one: O(log n) an update, the best is the first element.
#include "levels.h"
#include <functional>
#include <map>

extern "C" void run(const Level *levels, int64_t count, Facts *facts) {
    std::map<int64_t, int64_t, std::greater<int64_t>> bids;
    std::map<int64_t, int64_t> asks;
    int64_t touched = 0;
    for (int64_t i = 0; i < count; i++) {
        const Level &level = levels[i];
        if (level.side == 1) {
            if (level.lots) bids[level.ticks] = level.lots; else bids.erase(level.ticks);
        } else if (level.side == 2) {
            if (level.lots) asks[level.ticks] = level.lots; else asks.erase(level.ticks);
        } else {
            bids.clear();
            asks.clear();
        }
        touched += bids.empty() ? 0 : bids.begin()->first;
    }
    volatile int64_t kept = touched;
    (void) kept;
    *facts = {bids.begin()->first, asks.begin()->first, (int64_t) bids.size(), (int64_t) asks.size()};
}

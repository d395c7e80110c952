// A book with a fixed window of ticks around the first best, two levels of bitmaps, and a hash for what lies outside.
// Unchecked: the best must not leave the window. The floor of what a book that re-centres can reach.
#include "levels.h"
#include <unordered_map>
#include <vector>

constexpr int64_t WINDOW = 1 << 16, WORDS = WINDOW / 64, GROUPS = WORDS / 64;

struct Side {
    std::vector<int64_t> lots = std::vector<int64_t>(WINDOW);
    uint64_t words[WORDS] = {}, groups[GROUPS] = {};
    std::unordered_map<int64_t, int64_t> far;
    int64_t base = 0, best = -1, count = 0;          // best is a slot, -1 without a level

    void put(int64_t ticks, int64_t quantity) {
        uint64_t slot = (uint64_t) (ticks - base);
        if (slot >= (uint64_t) WINDOW) {
            if (quantity) count += far.insert_or_assign(ticks, quantity).second;
            else count -= far.erase(ticks);
            return;
        }
        int64_t before = lots[slot];
        lots[slot] = quantity;
        if ((before != 0) == (quantity != 0)) return;
        uint64_t word = slot >> 6, bit = 1ull << (slot & 63);
        if (quantity) {
            count++;
            words[word] |= bit;
            groups[word >> 6] |= 1ull << (word & 63);
        } else {
            count--;
            if (!(words[word] &= ~bit)) groups[word >> 6] &= ~(1ull << (word & 63));
        }
    }

    int64_t below(int64_t slot) const {
        int64_t word = slot >> 6, group = word >> 6;
        if (uint64_t left = words[word] & ((1ull << (slot & 63)) - 1)) return word * 64 + 63 - __builtin_clzll(left);
        uint64_t left = groups[group] & ((1ull << (word & 63)) - 1);
        while (!left) {
            if (--group < 0) return -1;
            left = groups[group];
        }
        word = group * 64 + 63 - __builtin_clzll(left);
        return word * 64 + 63 - __builtin_clzll(words[word]);
    }

    int64_t above(int64_t slot) const {
        int64_t word = slot >> 6, group = word >> 6;
        if (uint64_t left = words[word] & (~1ull << (slot & 63))) return word * 64 + __builtin_ctzll(left);
        uint64_t left = groups[group] & (~1ull << (word & 63));
        while (!left) {
            if (++group >= GROUPS) return -1;
            left = groups[group];
        }
        word = group * 64 + __builtin_ctzll(left);
        return word * 64 + __builtin_ctzll(words[word]);
    }

    void clear(int64_t centre) {
        *this = Side();
        base = (centre - WINDOW / 2) & ~(int64_t) 63;
    }
};

extern "C" void run(const Level *levels, int64_t count, Facts *facts) {
    Side bids, asks;
    for (int64_t i = 0; i < count; i++) {
        const Level &level = levels[i];
        if (level.side == 1) {
            bids.put(level.ticks, level.lots);
            int64_t slot = level.ticks - bids.base;
            if (level.lots) {
                if (slot > bids.best && slot < WINDOW) bids.best = slot;
            } else if (slot == bids.best) {
                bids.best = bids.below(slot);
            }
        } else if (level.side == 2) {
            asks.put(level.ticks, level.lots);
            int64_t slot = level.ticks - asks.base;
            if (level.lots) {
                if (slot >= 0 && (asks.best < 0 || slot < asks.best)) asks.best = slot;
            } else if (slot == asks.best) {
                asks.best = asks.above(slot);
            }
        } else {
            bids.clear(levels[i + 1].ticks);
            asks.clear(levels[i + 1].ticks);
        }
    }
    *facts = {bids.base + bids.best, asks.base + asks.best, bids.count, asks.count};
}

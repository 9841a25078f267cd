package io.headrace.operator.state;

/**
 * How long the tiles of the online store are: blocks of single events, hours, days.
 *
 * @param blockMs of single events
 * @param hourMs a multiple of a block
 * @param dayMs a multiple of an hour
 */
public record TileWidths(long blockMs, long hourMs, long dayMs) {
    /** Those of the calendar. */
    public static final TileWidths CALENDAR = new TileWidths(60_000, 3_600_000, 86_400_000);

    long block(long time) {
        return Math.floorDiv(time, blockMs);
    }

    long hour(long time) {
        return Math.floorDiv(time, hourMs);
    }

    long day(long time) {
        return Math.floorDiv(time, dayMs);
    }
}

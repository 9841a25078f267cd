package io.headrace.operator.state;

/**
 * How long the ranges of time are that fields of the online store are about.
 *
 * @param secondMs the shortest one, whose block has no limit
 * @param minuteMs a multiple of a second
 * @param hourMs a multiple of a minute
 * @param dayMs a multiple of an hour
 */
public record TileWidths(long secondMs, long minuteMs, long hourMs, long dayMs) {
    /** Those of the calendar. */
    public static final TileWidths CALENDAR =
            new TileWidths(1_000, 60_000, 3_600_000, 86_400_000);

    long minute(long time) {
        return Math.floorDiv(time, minuteMs);
    }

    /** When the minute of a time has ended. */
    long minuteEnd(long time) {
        return (minute(time) + 1) * minuteMs;
    }

    long hour(long time) {
        return Math.floorDiv(time, hourMs);
    }

    long day(long time) {
        return Math.floorDiv(time, dayMs);
    }

    /** When the day of a time begins. */
    long dayStart(long time) {
        return day(time) * dayMs;
    }
}

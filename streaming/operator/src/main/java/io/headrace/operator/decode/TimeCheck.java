package io.headrace.operator.decode;

import java.math.BigInteger;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

/** Whether a time in milliseconds is plausible, and which unit it seems to be in when it isn't. */
final class TimeCheck {
    /** Why a time is refused. */
    record Problem(String reason, String message) {}

    private enum Unit {
        SECONDS(1, 1000),
        MICROSECONDS(1000, 1),
        NANOSECONDS(1_000_000, 1);

        private final long perMs;
        private final long divisor;

        Unit(long perMs, long divisor) {
            this.perMs = perMs;
            this.divisor = divisor;
        }

        /** The first value of the unit that isn't before a time, kept within int64. */
        long first(long timeMs) {
            BigInteger product = BigInteger.valueOf(timeMs).multiply(BigInteger.valueOf(perMs));
            BigInteger[] parts = product.divideAndRemainder(BigInteger.valueOf(divisor));
            BigInteger first = parts[1].signum() > 0 ? parts[0].add(BigInteger.ONE) : parts[0];
            return first.min(BigInteger.valueOf(Long.MAX_VALUE))
                    .max(BigInteger.valueOf(Long.MIN_VALUE))
                    .longValueExact();
        }
    }

    private static final String MIDNIGHT = "T00:00:00.000";
    private static final DateTimeFormatter DATE =
            DateTimeFormatter.ofPattern("uuuu-MM-dd'T'HH:mm:ss.SSS", Locale.ROOT)
                    .withZone(ZoneOffset.UTC);

    private final long earliestMs;
    private final long latestMs;

    TimeCheck(long earliestMs, long latestMs) {
        this.earliestMs = earliestMs;
        this.latestMs = latestMs;
    }

    /** What is wrong with a time; null where nothing is. */
    Problem problem(long value) {
        if (earliestMs <= value && value < latestMs) {
            return null;
        }
        for (Unit unit : Unit.values()) {
            if (unit.first(earliestMs) <= value && value < unit.first(latestMs)) {
                return new Problem(
                        "event_time_wrong_unit",
                        value
                                + " looks like "
                                + unit.name().toLowerCase(Locale.ROOT)
                                + ", expected milliseconds since 1970-01-01 UTC");
            }
        }
        return new Problem(
                "event_time_out_of_range",
                value
                        + " is no time in milliseconds from "
                        + date(earliestMs)
                        + " to before "
                        + date(latestMs));
    }

    private static String date(long timeMs) {
        String text = DATE.format(Instant.ofEpochMilli(timeMs));
        return text.endsWith(MIDNIGHT) ? text.substring(0, 10) : text;
    }
}

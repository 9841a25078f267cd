package io.headrace.operator.state;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.headrace.operator.plan.ColumnRef;
import io.headrace.operator.plan.ColumnType;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class EventColumnsTest {
    private static final List<ColumnRef> KINDS =
            List.of(
                    new ColumnRef("amount", ColumnType.INT64),
                    new ColumnRef("place", ColumnType.STRING),
                    new ColumnRef("price", ColumnType.FLOAT64),
                    new ColumnRef("flag", ColumnType.BOOL));

    private record Expected(long time, String dedup, Object[] values) {}

    @Test
    void eventsStayInOrderWhateverIsInsertedAndRemoved() {
        Random chance = new Random(1);
        EventColumns events = new EventColumns(KINDS);
        List<Expected> expected = new ArrayList<>();
        for (int i = 0; i < 2_000; i++) {
            if (!expected.isEmpty() && chance.nextInt(3) == 0) {
                int row = chance.nextBoolean() ? 0 : chance.nextInt(expected.size());
                events.remove(row);
                expected.remove(row);
            } else {
                long time = chance.nextInt(50);
                Object[] values = {
                    chance.nextBoolean() ? null : (Object) chance.nextLong(),
                    chance.nextBoolean() ? null : "text " + i,
                    chance.nextBoolean() ? null : (Object) chance.nextDouble(),
                    chance.nextBoolean() ? null : (Object) chance.nextBoolean(),
                };
                String dedup = "key " + i;
                events.insert(time, time + 5, dedup.getBytes(StandardCharsets.UTF_8), values);
                expected.add(new Expected(time, dedup, values));
                expected.sort(
                        Comparator.comparingLong(Expected::time).thenComparing(Expected::dedup));
            }
            require(events, expected);
        }
    }

    private static void require(EventColumns events, List<Expected> expected) {
        assertEquals(expected.size(), events.size());
        for (int row = 0; row < events.size(); row++) {
            Expected one = expected.get(row);
            assertEquals(one.time(), events.time(row));
            assertEquals(one.time() + 5, events.available(row));
            byte[] dedup = one.dedup().getBytes(StandardCharsets.UTF_8);
            assertArrayEquals(dedup, events.dedup(row));
            assertEquals(row, events.find(one.time(), dedup));
            for (int column = 0; column < KINDS.size(); column++) {
                assertEquals(one.values()[column], events.value(column, row));
            }
        }
    }

    @Test
    void whatIsPackedIsTheSameWhenItIsUnpacked() {
        Random chance = new Random(2);
        EventColumns events = new EventColumns(KINDS);
        long[] numbers = {0, 1, -1, 63, 64, -65, Long.MAX_VALUE, Long.MIN_VALUE};
        for (int i = 0; i < 500; i++) {
            Object[] values = {
                chance.nextBoolean() ? null : (Object) numbers[chance.nextInt(numbers.length)],
                chance.nextBoolean() ? null : "ÿ€𝄞".repeat(chance.nextInt(60)),
                chance.nextBoolean() ? null : (Object) Double.longBitsToDouble(chance.nextLong()),
                chance.nextBoolean() ? null : (Object) chance.nextBoolean(),
            };
            long time = chance.nextBoolean() ? chance.nextInt(100) : chance.nextLong() >> 3;
            long available = chance.nextBoolean() ? time : time + chance.nextLong() % 100_000;
            byte[] dedup = new byte[chance.nextInt(200)];
            chance.nextBytes(dedup);
            int row = events.insert(time, available, dedup, values);
            if (chance.nextInt(9) == 0) {
                events.setAlone(row);
            }
        }
        EventColumns read = PackedEvents.of(events).unpacked();
        assertEquals(events.size(), read.size());
        for (int row = 0; row < events.size(); row++) {
            assertEquals(events.time(row), read.time(row));
            assertEquals(events.available(row), read.available(row));
            assertArrayEquals(events.dedup(row), read.dedup(row));
            assertEquals(events.standsAlone(row), read.standsAlone(row));
            for (int column = 0; column < KINDS.size(); column++) {
                assertEquals(events.value(column, row), read.value(column, row));
            }
        }
    }

    @Test
    void theFirstEventsAreTakenOutWhole() {
        EventColumns events = new EventColumns(KINDS);
        for (long time = 0; time < 10; time++) {
            events.insert(time, time, new byte[] {(byte) time}, new Object[] {time, "t", null, true});
        }
        events.remove(0);
        EventColumns taken = events.takeFirst(4);
        assertEquals(4, taken.size());
        assertEquals(1L, taken.value(0, 0));
        assertEquals("t", taken.text(1, 3));
        assertNull(taken.value(2, 0));
        assertEquals(5, events.size());
        assertEquals(5, events.time(0));
        assertEquals(9L, events.value(0, 4));
    }

    @Test
    void anEventThatIsNotThereIsNotFound() {
        EventColumns events = new EventColumns(KINDS);
        Object[] nulls = new Object[KINDS.size()];
        events.insert(5, 5, new byte[] {1}, nulls);
        assertEquals(-1, events.find(5, new byte[] {2}));
        assertEquals(-1, events.find(4, new byte[] {1}));
        assertEquals(0, events.firstAtOrAfter(5));
        assertEquals(1, events.firstAtOrAfter(6));
        assertNull(events.value(0, 0));
        assertTrue(events.isNull(1, 0));
    }
}

package io.headrace.operator.stream;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.flink.api.common.functions.util.ListCollector;
import org.apache.flink.kafka.shaded.org.apache.kafka.clients.consumer.ConsumerRecord;
import org.junit.jupiter.api.Test;

/** What no definition foresees is set aside like any other record that can't be used. */
class RecordDecoderTest {
    private static final String PLAN =
            """
            {"version": 1, "project": "shop", "sources": [
              {"name": "orders", "topic": "orders", "schema": "Order", "schema_version": "v1", "event_time": "at",
               "dedup_key": "id", "available_at": null, "rank": 1,
               "plausible": {"earliest_ms": 0, "latest_ms": 4102444800000},
               "columns": [
                 {"name": "id", "type": "string", "nullable": false, "pattern": "^(a|b)*$",
                  "role": "value"},
                 {"name": "at", "type": "int64", "nullable": false, "role": "time_ms"}]}]}
            """;
    private static final int MOST_BYTES = 2 << 20;

    private static Envelope decoded(byte[] value) {
        RecordDecoder decoder = new RecordDecoder(PLAN, 0, 1_000);
        decoder.open(null);
        List<Envelope> events = new ArrayList<>();
        decoder.deserialize(
                new ConsumerRecord<>("orders", 3, 7, null, value), new ListCollector<>(events));
        assertEquals(1, events.size());
        return events.get(0);
    }

    private static byte[] order(String id) {
        return ("{\"id\": \"" + id + "\", \"at\": -1}").getBytes(StandardCharsets.UTF_8);
    }

    @Test
    void aRecordOnWhichTheDecoderItselfFailsIsSetAside() {
        // The engine of patterns goes one call deeper for each letter.
        byte[] raw = order("ab".repeat(200_000));
        Envelope event = decoded(raw);
        assertEquals("operator_failed", event.reason);
        assertEquals("java.lang.StackOverflowError", event.message);
        assertArrayEquals(raw, event.raw);
        assertNull(event.row);
    }

    @Test
    void aRecordThatIsTooLargeIsSetAsideByWhatItBeginsWith() {
        byte[] raw = order("a".repeat(MOST_BYTES));
        Envelope event = decoded(raw);
        assertEquals("too_large", event.reason);
        assertEquals(
                "Order has "
                        + raw.length
                        + " bytes, of which the first 2097152 are kept, expected no more than these",
                event.message);
        assertArrayEquals(Arrays.copyOf(raw, MOST_BYTES), event.raw);
    }

    @Test
    void aRecordWithoutAValueIsUndecodable() {
        assertEquals("undecodable", decoded(null).reason);
    }
}

package io.headrace.operator.stream;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.io.IOException;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.junit.jupiter.api.Test;

class SerializersTest {
    @Test
    void anEnvelopeIsReadAsItWasWritten() throws IOException {
        Envelope event = event();
        DataOutputSerializer out = new DataOutputSerializer(16);
        EnvelopeSerializer.INSTANCE.serialize(event, out);
        Envelope read =
                EnvelopeSerializer.INSTANCE.deserialize(
                        new DataInputDeserializer(out.getCopyOfBuffer()));
        assertSame(event, read);
        assertSame(event, EnvelopeSerializer.INSTANCE.copy(event));
    }

    @Test
    void aRecordThatCouldNotBeReadKeepsItsReason() throws IOException {
        Envelope event = new Envelope();
        event.raw = new byte[0];
        event.reason = "undecodable";
        event.message = "no JSON";
        DataOutputSerializer out = new DataOutputSerializer(16);
        EnvelopeSerializer.INSTANCE.serialize(event, out);
        Envelope read =
                EnvelopeSerializer.INSTANCE.deserialize(
                        new DataInputDeserializer(out.getCopyOfBuffer()));
        assertEquals("undecodable", read.reason);
        assertEquals("no JSON", read.message);
        assertNull(read.row);
        assertNull(read.rawKey);
        assertNull(read.values);
    }

    @Test
    void aRecordForKafkaKeepsItsHeaders() throws IOException {
        OutRecord record = new OutRecord("t", null, new byte[] {1, 2}, new String[] {"name", "value"});
        DataOutputSerializer out = new DataOutputSerializer(16);
        OutRecordSerializer.INSTANCE.serialize(record, out);
        OutRecord read =
                OutRecordSerializer.INSTANCE.deserialize(
                        new DataInputDeserializer(out.getCopyOfBuffer()));
        assertNull(read.key);
        assertArrayEquals(record.value, read.value);
        assertArrayEquals(record.headers, read.headers);
    }

    private static Envelope event() {
        Envelope event = new Envelope();
        event.source = 1;
        event.available = 20;
        event.time = 10;
        event.row = new Object[] {"ß😀", 5L, -0.0, true, null};
        event.raw = new byte[] {7};
        event.partition = 3;
        event.offset = 1L << 40;
        event.sentAt = 30;
        event.rawKey = new byte[] {9};
        event.values = new Object[] {null, 1.5};
        event.sequences = new long[] {4};
        event.statuses = new byte[] {Envelope.LATE};
        return event;
    }

    private static void assertSame(Envelope expected, Envelope read) {
        assertEquals(expected.source, read.source);
        assertEquals(expected.available, read.available);
        assertEquals(expected.time, read.time);
        assertArrayEquals(expected.row, read.row);
        assertArrayEquals(expected.raw, read.raw);
        assertEquals(expected.partition, read.partition);
        assertEquals(expected.offset, read.offset);
        assertEquals(expected.sentAt, read.sentAt);
        assertArrayEquals(expected.rawKey, read.rawKey);
        assertArrayEquals(expected.values, read.values);
        assertArrayEquals(expected.sequences, read.sequences);
        assertArrayEquals(expected.statuses, read.statuses);
    }
}

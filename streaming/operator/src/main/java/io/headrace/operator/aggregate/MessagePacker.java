package io.headrace.operator.aggregate;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.core.memory.DataOutputSerializer;

/** Writes MessagePack, in which the online store keeps tiles and events: the least form of each. */
public final class MessagePacker {
    private static final int START_BYTES = 256;
    private static final int SMALL = 1 << 7;
    private static final int BYTE = 1 << 8;
    private static final int SHORT = 1 << 16;
    private static final long INT = 1L << 32;

    private final DataOutputSerializer out = new DataOutputSerializer(START_BYTES);

    /** What was written so far; the packer is empty afterwards. */
    public byte[] bytes() {
        byte[] written = out.getCopyOfBuffer();
        out.clear();
        return written;
    }

    /** Writes what a packer has written before. */
    public void packed(byte[] content) throws IOException {
        out.write(content);
    }

    /** Begins an array of so many elements. */
    public void array(int size) throws IOException {
        sized(size, 0x90, 1 << 4, -1, 0xdc);
    }

    /** Begins a map of so many keys, each followed by its value. */
    public void map(int size) throws IOException {
        sized(size, 0x80, 1 << 4, -1, 0xde);
    }

    /** Writes bytes. */
    public void binary(byte[] content) throws IOException {
        sized(content.length, 0, 0, 0xc4, 0xc5);
        out.write(content);
    }

    /** Writes a text. */
    public void text(String content) throws IOException {
        byte[] encoded = content.getBytes(StandardCharsets.UTF_8);
        sized(encoded.length, 0xa0, 1 << 5, 0xd9, 0xda);
        out.write(encoded);
    }

    /** Writes an integer. */
    public void integer(long value) throws IOException {
        if (value >= 0) {
            if (value < SMALL) {
                out.writeByte((int) value);
            } else if (value < BYTE) {
                out.writeByte(0xcc);
                out.writeByte((int) value);
            } else if (value < SHORT) {
                out.writeByte(0xcd);
                out.writeShort((int) value);
            } else if (value < INT) {
                out.writeByte(0xce);
                out.writeInt((int) value);
            } else {
                out.writeByte(0xcf);
                out.writeLong(value);
            }
        } else if (value >= -32) {
            out.writeByte((int) value);
        } else if (value >= Byte.MIN_VALUE) {
            out.writeByte(0xd0);
            out.writeByte((int) value);
        } else if (value >= Short.MIN_VALUE) {
            out.writeByte(0xd1);
            out.writeShort((int) value);
        } else if (value >= Integer.MIN_VALUE) {
            out.writeByte(0xd2);
            out.writeInt((int) value);
        } else {
            out.writeByte(0xd3);
            out.writeLong(value);
        }
    }

    /** Writes null, a Long, a Double, a Boolean or a String. */
    public void value(Object value) throws IOException {
        if (value == null) {
            out.writeByte(0xc0);
        } else if (value instanceof Long number) {
            integer(number);
        } else if (value instanceof Double number) {
            out.writeByte(0xcb);
            out.writeDouble(number);
        } else if (value instanceof Boolean truth) {
            out.writeByte(truth ? 0xc3 : 0xc2);
        } else {
            text((String) value);
        }
    }

    /** A size: within the first byte where it is small, else in one byte if allowed, two or four. */
    private void sized(int size, int small, int smallLimit, int oneByte, int twoBytes)
            throws IOException {
        if (size < smallLimit) {
            out.writeByte(small | size);
        } else if (oneByte >= 0 && size < BYTE) {
            out.writeByte(oneByte);
            out.writeByte(size);
        } else if (size < SHORT) {
            out.writeByte(twoBytes);
            out.writeShort(size);
        } else {
            out.writeByte(twoBytes + 1);
            out.writeInt(size);
        }
    }
}

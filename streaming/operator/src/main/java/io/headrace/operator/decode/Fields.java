package io.headrace.operator.decode;

import io.headrace.operator.plan.ColumnType;
import java.io.IOException;
import java.util.Arrays;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonFactory;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParseException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonParser;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonToken;

/** What one record holds in the columns of a contract, as far as it could be read. */
final class Fields {
    // An integer of so many characters fits into 64 bits.
    private static final int SURELY_LONG = 18;

    private final Contract contract;
    private final Object[] found;
    private boolean spoilt;

    Fields(Contract contract) {
        this.contract = contract;
        found = new Object[contract.width()];
        Arrays.fill(found, Unfit.MISSING);
    }

    /** Reads the first bytes of a record, one object; the last value of a field stays. */
    void read(JsonFactory factory, byte[] raw, int length) throws IOException {
        try (JsonParser parser = factory.createParser(raw, 0, length)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new JsonParseException(parser, "expected an object");
            }
            int expected = 0;
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                int place = contract.place(parser.currentName(), expected);
                JsonToken token = parser.nextToken();
                if (place < 0) {
                    parser.skipChildren();
                    continue;
                }
                expected = place + 1;
                spoilt |= isWrong(place);
                found[place] = value(parser, token, contract.type(place));
            }
            if (parser.nextToken() != null) {
                throw new JsonParseException(parser, "more follows after the object");
            }
        }
    }

    /** The values by column: Long, Double, String, Boolean, null or an Unfit. */
    Object[] found() {
        return found;
    }

    /** Whether a field was named again after a value of a wrong type or form. */
    boolean spoilt() {
        return spoilt;
    }

    /** Whether any value that was met is of a wrong type or form. */
    boolean anyWrong() {
        for (int place = 0; place < found.length && !spoilt; place++) {
            spoilt = isWrong(place);
        }
        return spoilt;
    }

    private boolean isWrong(int place) {
        return found[place] != Unfit.MISSING && !contract.check(place).fits(found[place]);
    }

    private static Object value(JsonParser parser, JsonToken token, ColumnType type)
            throws IOException {
        switch (token) {
            case VALUE_NULL:
                return null;
            case VALUE_STRING:
                String text = parser.getText();
                return type == ColumnType.STRING ? text : Unfit.of(Shown.text(text));
            case VALUE_TRUE, VALUE_FALSE:
                boolean truth = token == JsonToken.VALUE_TRUE;
                return type == ColumnType.BOOL ? (Object) truth : Unfit.of(Boolean.toString(truth));
            case VALUE_NUMBER_INT:
                return switch (type) {
                    case INT64 -> whole(parser);
                    case FLOAT64 -> wholeAsReal(parser);
                    default -> Unfit.of(Shown.whole(parser.getText()));
                };
            case VALUE_NUMBER_FLOAT:
                return type == ColumnType.FLOAT64
                        ? (Object) parser.getDoubleValue()
                        : Unfit.of(Shown.real(parser.getDoubleValue()));
            default:
                boolean object = token == JsonToken.START_OBJECT;
                parser.skipChildren();
                return Unfit.of(object ? "an object" : "a list");
        }
    }

    // Once asked for the type of an integer of more than 64 bits, Jackson keeps its digits and
    // gives them as the next double: of a long integer it is only ever asked for the text.
    private static Object whole(JsonParser parser) throws IOException {
        if (parser.getTextLength() <= SURELY_LONG) {
            return parser.getLongValue();
        }
        String digits = parser.getText();
        try {
            return Long.parseLong(digits);
        } catch (NumberFormatException error) {
            return Unfit.tooLong(digits);
        }
    }

    // As an integer first, of which there is no negative zero.
    private static double wholeAsReal(JsonParser parser) throws IOException {
        return parser.getTextLength() <= SURELY_LONG
                ? parser.getLongValue()
                : Double.parseDouble(parser.getText());
    }
}

import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.util.Properties;
import java.util.TreeSet;

/** Answers each length and bytes on stdin with a line of what Properties.load makes of them, in hexadecimal UTF-16. */
public class LoadProperties {
    public static void main(String[] words) throws Exception {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        while (true) {
            byte[] data;
            try {
                data = new byte[in.readInt()];
            } catch (EOFException end) {
                return;
            }
            in.readFully(data);
            System.out.println(load(data));
            System.out.flush();
        }
    }

    static String load(byte[] data) throws Exception {
        Properties properties = new Properties();
        try {
            properties.load(new ByteArrayInputStream(data));
        } catch (IllegalArgumentException error) {
            return "refused";
        }
        StringBuilder line = new StringBuilder();
        for (String key : new TreeSet<String>(properties.stringPropertyNames())) {
            line.append(hexadecimal(key)).append('=').append(hexadecimal(properties.getProperty(key))).append(' ');
        }
        return line.toString();
    }

    static String hexadecimal(String text) {
        StringBuilder digits = new StringBuilder();
        for (char unit : text.toCharArray()) {
            digits.append(String.format("%04x", (int) unit));
        }
        return digits.toString();
    }
}

import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.avro.Schema;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;

/**
 * Reads Avro object container files with Apache Avro and prints a JSON line for each record: the file's number and the
 * record in Avro's JSON encoding. FILE=SCHEMA reads a file by Avro's schema resolution to the schema in a file.
 */
public class ReadObjects {
  public static void main(String[] args) throws Exception {
    PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, "UTF-8");
    for (int i = 0; i < args.length; i++) {
      String[] names = args[i].split("=", 2);
      GenericDatumReader<Object> datum = new GenericDatumReader<>();
      if (names.length > 1) {
        datum.setExpected(new Schema.Parser().parse(new File(names[1])));
      }
      try (DataFileReader<Object> file = new DataFileReader<>(new File(names[0]), datum)) {
        Schema schema = names.length > 1 ? datum.getExpected() : file.getSchema();
        GenericDatumWriter<Object> writer = new GenericDatumWriter<>(schema);
        while (file.hasNext()) {
          Object record = file.next();
          ByteArrayOutputStream json = new ByteArrayOutputStream();
          JsonEncoder encoder = EncoderFactory.get().jsonEncoder(schema, json);
          writer.write(record, encoder);
          encoder.flush();
          // The encoder writes nothing for a record without fields.
          String text = json.size() == 0 ? "{}" : json.toString(StandardCharsets.UTF_8);
          out.print("[" + i + "," + text + "]\n");
        }
      }
    }
    out.flush();
  }
}

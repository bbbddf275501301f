package org.tfliteodl.bake;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import org.junit.Test;
import org.tfliteodl.ArtifactException;
import org.tfliteodl.OdlException;
import org.tfliteodl.contract.Json;
import org.tfliteodl.contract.Tensor;
import org.tfliteodl.contract.Vectors;
import org.tfliteodl.host.FileIo;

public class BakeTest {
  @Test
  public void bytesAreThoseOfTheVectors() throws IOException {
    Json vectors = Vectors.load("bake");
    ByteBuffer before = content(vectors.get("before").text());
    Map<String, Tensor> state = Vectors.tensors(vectors.get("state"));
    for (Json one : Vectors.cases("bake")) {
      String name = one.get("name").text();
      if (Vectors.isRefused(one)) {
        assertThrows(
            name, OdlException.class, () -> Bake.patched(before, one.get("serving"), state));
        continue;
      }
      ByteBuffer wanted = content(one.get("after").text());
      ByteBuffer found = Bake.patched(before, one.get("serving"), state);
      for (int i = 0; i < wanted.limit(); i++) {
        assertEquals(name + ", byte " + i, wanted.get(i), found.get(i));
      }
      assertEquals(name, wanted.limit(), found.limit());
      assertTrue(name + " left the file as it was", !found.equals(before));
    }
  }

  @Test
  public void sumsAreAddedInNumPysOrder() throws IOException {
    for (Json one : Vectors.cases("sums")) {
      int[] shape = one.get("shape").ints();
      int count = 1;
      for (int size : shape) {
        count *= size;
      }
      float[] x = new float[count];
      for (int i = 0; i < count; i++) {
        x[i] = (float) (i * 7919L % 2003 - 1001) / 997f;
      }
      float[] found = Sums.of(x, shape, new Channels(one.get("axes").ints()));
      List<Json> wanted = one.get("sums").list();
      assertEquals(one.get("name").text(), wanted.size(), found.length);
      for (int i = 0; i < found.length; i++) {
        assertEquals(
            one.get("name").text() + " " + i, (float) wanted.get(i).number(), found[i], 0f);
      }
    }
  }

  private static ByteBuffer content(String file) {
    return FileIo.read(Vectors.file(file), ArtifactException::new, FileIo.LARGEST_BYTES);
  }

  @Test
  public void halvesAreRoundedToEven() {
    float[] values = {1, -2, 65504, 65519, 65520, 5.9604645e-8f, 2.9802322e-8f, 2.9802326e-8f};
    int[] wanted = {0x3c00, 0xc000, 0x7bff, 0x7bff, 0x7c00, 1, 0, 1};
    for (int i = 0; i < values.length; i++) {
      assertEquals(String.valueOf(values[i]), wanted[i], Half.of(values[i]) & 0xffff);
    }
    // Halfway between two neighbours: to the even one. 1 + 2^-11, 1 + 3 * 2^-11.
    assertEquals(0x3c00, Half.of(1.00048828125f));
    assertEquals(0x3c02, Half.of(1.00146484375f));
    // The largest that is not normal, and a carry into the normal ones.
    assertEquals(0x03ff, Half.of(6.097555e-5f));
    assertEquals(0x0400, Half.of(6.1020e-5f));
  }
}

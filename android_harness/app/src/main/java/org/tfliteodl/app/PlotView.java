package org.tfliteodl.app;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.Path;
import android.util.AttributeSet;
import android.view.View;
import java.util.Locale;
import org.tfliteodl.run.Curves;

/** Loss and accuracy over the batches, as curves. */
public final class PlotView extends View {
  private static final int LOSS_COLOUR = 0xFFD97706;
  private static final int ACCURACY_COLOUR = 0xFF2563EB;

  private final float[] loss = new float[Curves.MOST];
  private final float[] accuracy = new float[Curves.MOST];
  private final Path path = new Path();
  private final Paint line = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final Paint text = new Paint(Paint.ANTI_ALIAS_FLAG);
  private int count;
  private float meanLoss = Float.NaN;
  private float meanAccuracy = Float.NaN;

  public PlotView(Context context, AttributeSet attributes) {
    super(context, attributes);
    float density = context.getResources().getDisplayMetrics().density;
    line.setStyle(Paint.Style.STROKE);
    line.setStrokeWidth(2 * density);
    text.setTextSize(12 * density);
  }

  /** Draws curves as they are now. */
  void show(Curves curves) {
    count = curves.copy(loss, accuracy);
    meanLoss = curves.loss();
    meanAccuracy = curves.accuracy();
    invalidate();
  }

  @Override
  protected void onDraw(Canvas canvas) {
    float most = 0;
    for (int i = 0; i < count; i++) {
      most = Math.max(most, Float.isNaN(loss[i]) ? 0 : loss[i]);
    }
    draw(canvas, loss, most, LOSS_COLOUR);
    draw(canvas, accuracy, 1, ACCURACY_COLOUR);
    float y = text.getTextSize();
    write(canvas, R.string.loss, meanLoss, LOSS_COLOUR, y);
    write(canvas, R.string.accuracy, meanAccuracy, ACCURACY_COLOUR, 2 * y);
  }

  private void draw(Canvas canvas, float[] values, float most, int colour) {
    path.reset();
    boolean begun = false;
    for (int i = 0; i < count; i++) {
      if (Float.isNaN(values[i]) || most == 0) {
        continue;
      }
      float x = getWidth() * i / (float) Math.max(count - 1, 1);
      float top = 3 * text.getTextSize(); // below the names
      float y = getHeight() - (getHeight() - top) * values[i] / most;
      if (begun) {
        path.lineTo(x, y);
      } else {
        path.moveTo(x, y);
      }
      begun = true;
    }
    line.setColor(colour);
    canvas.drawPath(path, line);
  }

  private void write(Canvas canvas, int name, float value, int colour, float y) {
    text.setColor(Float.isNaN(value) ? Color.TRANSPARENT : colour);
    String shown = String.format(Locale.ROOT, "%s %.3f", getContext().getString(name), value);
    canvas.drawText(shown, getWidth() / 2f, y, text);
  }
}
